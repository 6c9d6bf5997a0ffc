"""NVIDIA GPUs by name and memory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlmfast.doctor.facts import Gpu, Gpus

_FIELDS = "name,memory.total,memory.free,driver_version"


def probe_gpus(
    run: Callable[[], tuple[int, str] | None] | None = None,
    by_torch: Iterable[Mapping[str, Any]] = (),
) -> Gpus:
    """List the GPUs with `nvidia-smi` or, if it is not installed, with torch.

    Args:
        run: returns exit status and output of `nvidia-smi`, or None if it is not installed.
        by_torch: name and memory in bytes of the GPUs that torch sees.
    """
    answer = (run or _run)()
    seen = tuple(Gpu(name=each["name"], memory=each["memory"]) for each in by_torch)
    if answer is None:
        if seen:
            return Gpus(found=seen, note="according to torch; nvidia-smi is not installed")
        return Gpus(note="none: nvidia-smi is not installed, and torch sees none")
    status, output = answer
    if status:
        return Gpus(found=seen, note="nvidia-smi fails", error=" ".join(output.split())[:300])
    found = tuple(_gpu(line) for line in output.splitlines() if line.count(",") >= 3)
    return Gpus(found=found, note="according to nvidia-smi" if found else "nvidia-smi lists none")


def _run() -> tuple[int, str] | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return 124, "nvidia-smi gave no answer within 30 s"
    except OSError as error:
        return 126, str(error)
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def _gpu(line: str) -> Gpu:
    # A name may have commas; the three values after it have none.
    name, total, free, driver = (word.strip() for word in line.rsplit(",", 3))
    return Gpu(name=name, memory=_mebibytes(total), free=_mebibytes(free), driver=driver)


def _mebibytes(word: str) -> int | None:
    return int(word) << 20 if word.isdigit() else None
