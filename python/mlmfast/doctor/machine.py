"""The processor and the memory, as far as this process may use them."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

from mlmfast.doctor.facts import Machine
from mlmfast.runtime.cgroups import control_groups
from mlmfast.runtime.cpu import allowed_cores, cpu_quota

# Shown name -> its names in /proc/cpuinfo and in macOS' sysctl, any of which is enough.
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


def probe_machine(root: Path = Path("/")) -> Machine:
    """Describe this machine; /proc and /sys are below `root`."""
    cpu, words = _processor(root)
    arm = platform.machine().lower() in ("aarch64", "arm64")
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
        allowed_cores=allowed_cores(),
        quota_cores=cpu_quota(root),
        memory=_memory(),
        memory_limit=min(_memory_limits(control_groups("memory", root)), default=None),
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
    except (OSError, ValueError):
        return []


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
