"""How many threads to use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from mlmfast.errors import InputError


def thread_count(threads: int | None) -> int:
    """`threads`, or for None what the environment and the cores of this process suggest."""
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InputError(f"threads must be a whole number from 1 up, or None; got {threads!r}.")
        return threads
    if os.environ.get("TOKENIZERS_PARALLELISM", "").lower() in {"0", "false", "off", "no", "n"}:
        return 1
    wanted = os.environ.get("RAYON_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_CGROUPS = Path("/sys/fs/cgroup")


def available_threads() -> int:
    """Cores this process may keep busy: its affinity mask, cut by a container's quota."""
    quota = cpu_quota()
    return allowed_cores() if quota is None else max(1, min(allowed_cores(), math.ceil(quota)))


def allowed_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # a container or taskset may leave us fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_are_ours() -> bool:
    """Whether a thread may wait by spinning without taking the core from somebody else.

    Under a quota every turn of the loop is paid for, and on a busy machine it is taken from a
    neighbour.
    """
    quota = cpu_quota()
    if quota is not None and quota < allowed_cores():
        return False
    if not hasattr(os, "getloadavg"):
        return True
    return os.getloadavg()[0] < allowed_cores() / 2


def cpu_quota(root: Path = _CGROUPS) -> float | None:
    """Cores' worth of time that the control group grants, None where it sets no bound."""
    for read in (_quota_v2, _quota_v1):
        try:
            quota = read(root)
        except (OSError, ValueError):
            continue
        if quota is not None:
            return quota
    return None


def _quota_v2(root: Path) -> float | None:
    granted, period = (root / "cpu.max").read_text().split()
    return None if granted == "max" else int(granted) / int(period)


def _quota_v1(root: Path) -> float | None:
    granted = int((root / "cpu" / "cpu.cfs_quota_us").read_text())
    period = int((root / "cpu" / "cpu.cfs_period_us").read_text())
    return granted / period if granted > 0 else None
