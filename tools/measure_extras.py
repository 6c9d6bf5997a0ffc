"""Measure what each extra brings: packages, megabytes, and the seconds of its installation.

    python tools/measure_extras.py dist/mlmfast-*.whl           # the table of docs/installation.md
    python tools/measure_extras.py dist/mlmfast-*.whl train serve,cpu

Every line is an environment of its own, made empty. It is installed twice: with an empty cache, so
that every package is downloaded, and again from the cache which that has filled. The megabytes are
those of the files that the installation writes, without compiled bytecode (uv writes none).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

EXTRAS = (
    "",
    "gzip",
    "client",
    "http",
    "s3",
    "gs",
    "abfs",
    "serve,cpu",
    "otel,cpu",
    "grpc,cpu",
    "ray",
    "ray-serve,cpu",
    "tf",
    "serve,gpu",
    "train",
    "lora",
    "optimum,cpu",
    "export,cpu",
    "probe",
    "all",
)
MEGABYTE = 10**6


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What an installation into an empty environment took.

    Attributes:
        packages: their number, mlmfast included.
        megabytes: the size of their files.
        downloaded_seconds: its duration with an empty cache.
        cached_seconds: its duration with all packages in the cache.
    """

    packages: int
    megabytes: float
    downloaded_seconds: float
    cached_seconds: float


def main() -> None:
    """Print the table, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path, help="the wheel of mlmfast")
    parser.add_argument("extras", nargs="*", help="of these alone, as in `serve,cpu`")
    arguments = parser.parse_args()
    uv = subprocess.run(["uv", "--version"], check=True, capture_output=True, text=True)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    print(f"{uv.stdout.split(' (')[0].strip()}, Python {platform.python_version()}, {machine}\n")
    print("| `pip install` | packages | MB | s, downloaded | s, from the cache |")
    print("|---|---|---|---|---|")
    for extras in arguments.extras or EXTRAS:
        done = measure(arguments.wheel.resolve(), extras)
        name = f"mlmfast[{extras}]" if extras else "mlmfast"
        seconds = f"{done.downloaded_seconds:.1f} | {done.cached_seconds:.1f}"
        print(f"| `{name}` | {done.packages} | {done.megabytes:,.0f} | {seconds} |", flush=True)


def measure(wheel: Path, extras: str) -> Installation:
    """Install the wheel with these extras twice, and count what is there."""
    requirement = f"{wheel}[{extras}]" if extras else str(wheel)
    with tempfile.TemporaryDirectory() as name:
        cache, environment = Path(name, "cache"), Path(name, "environment")
        seconds = []
        for _ in range(2):
            uv(cache, "venv", "--clear", "--python", sys.executable, str(environment))
            empty = bytes_in(environment)
            began = time.perf_counter()
            uv(cache, "pip", "install", "--python", str(environment), requirement)
            seconds.append(time.perf_counter() - began)
        listed = uv(cache, "pip", "list", "--python", str(environment), "--format", "json")
        return Installation(
            packages=len(json.loads(listed)),
            megabytes=(bytes_in(environment) - empty) / MEGABYTE,
            downloaded_seconds=seconds[0],
            cached_seconds=seconds[1],
        )


def uv(cache: Path, *arguments: str) -> str:
    """Run uv with this cache, and give what it prints."""
    command = ["uv", "--quiet", "--cache-dir", str(cache), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def bytes_in(folder: Path) -> int:
    """The size of the files in a folder, links not followed."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in found)


if __name__ == "__main__":
    main()
