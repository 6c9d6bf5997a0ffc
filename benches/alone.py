"""One contender in a process of its own: its seconds, and the most memory it took.

`python benches/alone.py MODULE LABEL ARGUMENT...` is that process: it asks the module's function
`alone(label, *arguments)` for a small call, which wakes whatever loads late, and for the call that
counts. Peak memory is the highest resident memory during that call above what was resident before
it: the imported libraries and the input do not count, all that the call makes does.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
ENOUGH_SECONDS, ENOUGH_CALLS = 2.0, 20


@dataclass(frozen=True)
class Measured:
    """What a contender took.

    Attributes:
        seconds: One call: the median of the calls after the first, for two seconds, at least one.
        peak: Bytes, of the first call.
    """

    seconds: float
    peak: int


class ContenderStoppedError(Exception):
    """The contender's process was killed, by us (time) or by the system (memory)."""


def measure(module: str, label: str, *arguments: str, timeout: float | None = None) -> Measured:
    """Start the process for one contender and wait for its numbers.

    Raises:
        ContenderStoppedError: It took longer than `timeout` seconds, or the system killed it.
        RuntimeError: It failed.
    """
    command = [sys.executable, __file__, module, label, *arguments]
    environment = {**os.environ, "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise ContenderStoppedError(f"stopped after {timeout:.0f} s") from None
    if done.returncode < 0:
        raise ContenderStoppedError(f"killed by signal {-done.returncode}")
    if done.returncode:
        raise RuntimeError(f"{module}, {label!r}:\n{done.stderr}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def read_once(table: pa.Table) -> None:
    """Touch every page of a mapped table, so that its pages are resident before the measurement."""
    for column in table.columns:
        for buffer in (b for chunk in column.chunks for b in chunk.buffers() if b is not None):
            np.frombuffer(buffer, np.uint8)[::4096].sum()


def _main(module: str, label: str, *arguments: str) -> None:
    huge_pages(allowed=False)
    warm, run = importlib.import_module(module).alone(label, *arguments)
    warm()
    peak = peak_of_call(run)
    huge_pages(allowed=True)
    times: list[float] = []
    while not times or (sum(times) < ENOUGH_SECONDS and len(times) < ENOUGH_CALLS):
        times.append(_call(run))
    print(json.dumps(asdict(Measured(statistics.median(times), peak))))


def huge_pages(*, allowed: bool) -> None:
    """Let the kernel give memory in pieces of 2 MB, which would blur the peak, or not."""
    if sys.platform == "linux":
        PR_SET_THP_DISABLE = 41  # noqa: N806 (the kernel's name)
        ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, int(not allowed), 0, 0, 0)


def _call(run: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    result = run()
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def peak_of_call(run: Callable[[], object]) -> int:
    """Call it, and return how many bytes it added to the resident memory at its highest."""
    # What allocators keep for later would hide an equal need of the call.
    gc.collect()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    before = _start_counting()
    _call(run)
    return max(0, _peak() - before)


def _start_counting() -> int:
    """Set the peak to what is resident now, and return it, in bytes."""
    try:
        RESET.write_text("5", encoding="ascii")
    except OSError:
        # The peak since the process began stays: a call that needs less than its set-up shows 0.
        return _peak()
    return _status("VmRSS")


def _peak() -> int:
    if STATUS.exists():
        return _status("VmHWM")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(field: str) -> int:
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{STATUS} has no {field}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
