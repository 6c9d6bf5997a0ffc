"""A request, as its log line, the metrics and its trace describe it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlmfast.serving.http.keys import ApiKey

# Class -> weight of its share. They differ by so little that none can starve another.
PRIORITIES = {"high": 4.0, "normal": 1.0, "low": 0.25}


@dataclass(slots=True)
class Record:
    """A request, as its log line and the metrics describe it.

    Attributes:
        request_id: the client's own, or a random one.
        traceparent: that of the client, if it is well formed.
        client: who shares the batches with others: the key of the request, or its address.
        key: the API key of the request, where the server requires one.
        priority: its class, one of `PRIORITIES`.
        timeout: seconds that its client gives it; None: as many as the server does.
        protocol: "fill-mask", "v1", "tei", "v2" or "operations".
        model: the name of its model; empty until it is looked up.
        texts: how many texts it has.
        tokens: tokens of all its texts.
        queue_seconds: as in `InferenceResponse`.
        run_seconds: as in `InferenceResponse`.
        submitted: when it was put into the queue, by `time.perf_counter`; 0: not yet.
        reason: why it failed.
        span: its span, where requests are traced.
    """

    request_id: str
    traceparent: str | None = None
    client: str = ""
    key: ApiKey | None = None
    priority: str = "normal"
    timeout: float | None = None
    protocol: str = "operations"
    model: str = ""
    texts: int = 0
    tokens: int = 0
    queue_seconds: float = 0.0
    run_seconds: float = 0.0
    submitted: float = 0.0
    reason: str | None = None
    span: Any = None

    @property
    def key_name(self) -> str:
        """The name of its key; empty without one."""
        return self.key.name if self.key else ""

    def set_key(self, key: ApiKey) -> None:
        """Set the key, and count the request against its limits unless it is an operation.

        Raises:
            HTTPError: it is one too many for now.
        """
        self.key, self.client = key, f"key {key.name}"
        if self.protocol != "operations":
            key.count_request()
