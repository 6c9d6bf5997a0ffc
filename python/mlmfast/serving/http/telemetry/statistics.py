"""What a model has done, as the statistics extension of the Open Inference Protocol counts it.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlmfast.serving.scheduler.request import BatchReport, InferenceResponse

_NANOSECONDS = 1e9


@dataclass(slots=True)
class Duration:
    """How often something was done, and the nanoseconds that it took altogether."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float, count: int = 1) -> None:
        """Count it, with the seconds that it took."""
        self.count += count
        self.ns += round(seconds * _NANOSECONDS)

    def as_json(self) -> dict[str, int]:
        """Return it as the protocol writes it."""
        return {"count": self.count, "ns": self.ns}


class ModelStatistics:
    """The statistics of one model in this process, since it started. Any thread may use it.

    Requests of all protocols count. The time to tokenize is a part of `queue`, and the time to
    write the answers one of `compute_infer`: they overlap with the model's work on others, and
    are not measured apart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts = 0
        self._last_ms = 0
        self._success, self._fail = Duration(), Duration()
        self._queue, self._infer = Duration(), Duration()
        self._batches: dict[int, Duration] = {}

    def count_success(self, texts: int, seconds: float, response: InferenceResponse) -> None:
        """Count a request that was answered."""
        with self._lock:
            self._texts += texts
            self._last_ms = round(time.time() * 1e3)
            self._success.add(seconds)
            self._queue.add(response.queue_seconds)
            self._infer.add(response.run_seconds)

    def count_failure(self, seconds: float) -> None:
        """Count a request that failed, or whose client did not wait."""
        with self._lock:
            self._fail.add(seconds)

    def count_batch(self, report: BatchReport) -> None:
        """Count a batch that was run."""
        with self._lock:
            self._batches.setdefault(report.texts, Duration()).add(report.seconds)

    def as_json(self, name: str, version: str) -> dict[str, Any]:
        """Return the statistics of the model as the protocol writes them."""
        none = Duration().as_json()
        with self._lock:
            return {
                "name": name,
                "version": version,
                "last_inference": self._last_ms,
                "inference_count": self._texts,
                "execution_count": sum(batch.count for batch in self._batches.values()),
                "inference_stats": {
                    "success": self._success.as_json(),
                    "fail": self._fail.as_json(),
                    "queue": self._queue.as_json(),
                    "compute_input": none,
                    "compute_infer": self._infer.as_json(),
                    "compute_output": none,
                    "cache_hit": none,
                    "cache_miss": none,
                },
                "response_stats": {},
                "batch_stats": [
                    {
                        "batch_size": size,
                        "compute_input": none,
                        "compute_infer": batch.as_json(),
                        "compute_output": none,
                    }
                    for size, batch in sorted(self._batches.items())
                ],
                "memory_usage": [],
            }
