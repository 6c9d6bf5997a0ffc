"""Metrics of the process, or of all workers together, and of what it is made of."""

from __future__ import annotations

import platform
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import Gauge, ProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

# These are not sums: the first start, and the bound of one process.
_LEAST = frozenset({"process_start_time_seconds", "process_max_fds"})


class Processes(Collector):
    """Processor time, memory and open files of several processes together, as on one page.

    Args:
        ids: their process ids; those that have ended are left out.
    """

    def __init__(self, ids: Sequence[int]):
        self._ids = ids

    def collect(self) -> Iterator[Metric]:
        together: dict[str, Metric] = {}
        for number in self._ids:
            for metric in ProcessCollector(pid=partial(int, number), registry=None).collect():
                total = together.setdefault(metric.name, metric)
                if total is metric:
                    continue
                for position, sample in enumerate(metric.samples):
                    before = total.samples[position]
                    pick = min if sample.name in _LEAST else _sum
                    total.samples[position] = before._replace(
                        value=pick(before.value, sample.value)
                    )
        yield from together.values()


def worker_ids(folder: str) -> list[int]:
    """Return the process ids of the workers that have written metrics into a folder, and live.

    The files of those gauges that describe living processes are removed with their process.
    """
    names = (path.stem.rpartition("_")[2] for path in Path(folder).glob("gauge_live*.db"))
    return sorted({int(name) for name in names if name.isdecimal()})


def add_build_info(registry: CollectorRegistry) -> None:
    """Add `mlmfast_build_info`, always 1, whose labels are versions."""
    names = ("mlmfast", "onnxruntime", "onnxruntime-gpu", "tokenizers")
    versions = {name: found for name in names if (found := _version(name))}
    labels = {
        "version": versions.get("mlmfast", ""),
        "python": platform.python_version(),
        "onnxruntime": versions.get("onnxruntime", versions.get("onnxruntime-gpu", "")),
        "tokenizers": versions.get("tokenizers", ""),
    }
    info = Gauge(
        "mlmfast_build_info",
        "Versions, as labels; always 1.",
        tuple(labels),
        registry=registry,
        multiprocess_mode="livemax",
    )
    info.labels(**labels).set(1)


def _sum(one: float, other: float) -> float:
    return one + other


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
