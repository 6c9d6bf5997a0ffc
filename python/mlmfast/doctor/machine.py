"""The processor and the memory, as far as this process may use them."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

from mlmfast.doctor.facts import Machine

# Shown name -> the words for it in /proc/cpuinfo and in macOS' sysctl, any of which will do.
_X86 = {
    "AVX2": ("avx2", "hw.optional.avx2_0"),
    "AVX-512": ("avx512f", "hw.optional.avx512f"),
    "VNNI": ("avx512_vnni", "avx_vnni", "hw.optional.avx512vnni"),
    "bf16": ("avx512_bf16", "amx_bf16", "hw.optional.avx512bf16"),
    "AMX": ("amx_tile",),
}
_ARM = {
    "NEON": ("asimd", "hw.optional.neon", "hw.optional.AdvSIMD"),
    "int8 dot products": ("asimddp", "hw.optional.arm.FEAT_DotProd"),
    "int8 matrix products": ("i8mm", "hw.optional.arm.FEAT_I8MM"),
    "bf16": ("bf16", "hw.optional.arm.FEAT_BF16"),
    "SVE": ("sve",),
}


def look_at_machine(root: Path = Path("/")) -> Machine:
    """Describe this machine; `root` is where /proc and /sys are found."""
    cpu, words = _processor(root)
    arm = platform.machine().lower() in ("aarch64", "arm64")
    groups = list(_control_groups(root))
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cpu=cpu,
        features={
            shown: any(word in words for word in spellings)
            for shown, spellings in (_ARM if arm else _X86).items()
        }
        if words
        else {},
        cores=os.cpu_count() or 1,
        allowed_cores=(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        )
        or 1,
        quota_cores=min(_quotas(groups), default=None),
        memory=_memory(),
        memory_limit=min(_memory_limits(groups), default=None),
    )


def _processor(root: Path) -> tuple[str, set[str]]:
    if platform.system() == "Darwin":
        return _processor_of_macos()
    name, words = "", set()
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor(), set()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = name or value.strip()
        elif key.strip() in ("flags", "Features"):
            words = set(value.split())
            break
    return name, words


def _processor_of_macos() -> tuple[str, set[str]]:
    try:
        text = subprocess.run(
            ["/usr/sbin/sysctl", "machdep.cpu.brand_string", "hw.optional"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return platform.processor(), set()
    pairs = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    name = pairs.pop("machdep.cpu.brand_string", "")
    return name, {key for key, value in pairs.items() if value.strip() == "1"}


def _control_groups(root: Path) -> Iterable[Path]:
    """The folders of this process' control group and of all above it: each may set a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, kinds, path = line.split(":", 2)
        tops = (
            [root / "sys/fs/cgroup"]
            if number == "0"
            else [root / "sys/fs/cgroup" / kind for kind in kinds.split(",")]
        )
        for top in tops:
            place = top / path.lstrip("/")
            while place != top:
                yield place
                place = place.parent
            yield top


def _quotas(groups: Iterable[Path]) -> Iterable[float]:
    for group in groups:
        words = _words(group / "cpu.max")
        if len(words) < 2:  # version 1 of control groups keeps them in two files
            words = _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
            yield int(words[0]) / int(words[1])


def _memory_limits(groups: Iterable[Path]) -> Iterable[int]:
    for group in groups:
        for name in ("memory.max", "memory.limit_in_bytes"):
            for word in _words(group / name):
                # Version 1 writes a number near 2**63 for "no limit".
                if word.isdigit() and int(word) < 1 << 60:
                    yield int(word)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
