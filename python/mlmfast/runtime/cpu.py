"""How many cores this process may use, and how many threads it starts."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

from mlmfast.errors import InputError
from mlmfast.runtime.cgroups import control_groups

_ROOT = Path("/")


def thread_count(threads: int | None) -> int:
    """Return `threads`, or for None the number in the environment or `available_cores`.

    Raises:
        InputError: `threads` is no whole number from 1 up.
    """
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InputError(f"threads must be a whole number from 1 up, or None; got {threads!r}.")
        return threads
    if os.environ.get("TOKENIZERS_PARALLELISM", "").lower() in {"0", "false", "off", "no", "n"}:
        return 1
    rayon = os.environ.get("RAYON_NUM_THREADS", "")
    if rayon.isdecimal() and int(rayon) > 0:
        return int(rayon)
    return available_cores()


def available_cores() -> int:
    """Count the cores that this process may keep busy, by its affinity mask and its CPU quota."""
    quota = cpu_quota()
    cores = allowed_cores()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def allowed_cores() -> int:
    """Count the cores in this process's affinity mask, which `taskset` or a container may cut."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def may_spin() -> bool:
    """Whether threads may wait by spinning without taking a core from another process.

    Under a quota every turn of the loop is paid for, and on a busy machine it is taken from a
    neighbour.
    """
    quota = cpu_quota()
    if quota is not None and quota < allowed_cores():
        return False
    if not hasattr(os, "getloadavg"):
        return True
    return os.getloadavg()[0] < allowed_cores() / 2


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Return the processor time, in cores, that control groups grant; None without a quota.

    Args:
        root: where /proc and /sys are.

    Returns:
        The smallest quota of the process's control group and its ancestors.
    """
    quotas = map(_quota, _cpu_groups(root))
    return min((quota for quota in quotas if quota is not None), default=None)


@cache  # a quota may change while the process runs, its place hardly ever
def _cpu_groups(root: Path) -> list[Path]:
    return control_groups("cpu", root)


def _quota(group: Path) -> float | None:
    """Read the quota of one control group, None where it has none or the file is unreadable."""
    try:
        granted, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):  # version 1 of control groups keeps the two in two files
        try:
            granted = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        except (OSError, ValueError):
            return None
    try:
        quota = int(granted) / int(period)
    except (ValueError, ArithmeticError):  # "max" means no quota
        return None
    return quota if quota > 0 else None
