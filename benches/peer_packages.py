"""Packages of peers that cannot live in this environment: each has a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# What the peers share with this environment: torch with its libraries is 5 GB.
_SHARED = ("torch", "torchaudio", "torchcodec", "torchvision")


def installed(requirement: str, *more: str) -> tuple[Path | None, str | None]:
    """The folder with a peer's packages, and `more` of its choice, or why there is none."""
    root = os.environ.get("MLMFAST_BENCH_PEERS")
    if not root:
        return None, "MLMFAST_BENCH_PEERS names no folder for it."
    path = Path(root).absolute() / requirement
    return path, None if (path / "done").exists() else _install([requirement, *more], path)


def _install(requirements: list[str], path: Path) -> str | None:
    """Install it with all it needs but torch."""
    path.mkdir(parents=True, exist_ok=True)
    without = path / "without.txt"
    without.write_text("".join(f"{name}; sys_platform == 'none'\n" for name in _SHARED))
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "install", "--quiet", "--python", sys.executable]
    command += ["--only-binary", ":all:", "--override", str(without), "--target", str(path)]
    problem = run([*command, *requirements], dict(os.environ))
    if problem is None:
        (path / "done").touch()
    return problem


def run(command: list[str], environment: dict[str, str]) -> str | None:
    """Run a command; the last line of its errors if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, timeout=1800
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip().splitlines() or ["it failed"])[-1] if done.returncode else None
