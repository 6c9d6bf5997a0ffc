"""Collect what a bare, offline GPU machine needs to run `make test-gpu` and `make bench-gpu`.

    python tools/gpu_bundle.py dist/mlmfast-*.whl bundle/
    # copy bundle/ to the machine, then there:
    sh bundle/unpack.sh bundle/ /tmp/mlmfast

The machine has Python, torch with CUDA and transformers, as images for training do. The bundle has
the rest: the wheel of mlmfast, onnxruntime-gpu, pyarrow, datasets and so on, and the tests and
measurements of this checkout, in parts of a size that any way of copying takes. Nothing there needs
an index, a compiler or root. `--present` takes the machine's own `pip freeze`, so that what it has
is neither carried nor replaced.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEGABYTE = 10**6
PART_MEGABYTES = 60
# What the machine has, by itself or with what these need.
PRESENT = ("torch==2.11.0", "transformers==5.17.0")
EXTRAS = "[train,lora,serve]"
BESIDE = (
    "httpx",
    "hypothesis",
    "onnx",
    "onnxruntime-gpu",
    "onnxscript",
    "psutil",
    "pytest",
    "pytest-timeout",
    "scipy",
)
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(39, 16, -1)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
CARRIED = ("tests", "benches", "pyproject.toml", "LICENSE")


def resolve(requirements: list[str], python: str, constraints: list[str]) -> dict[str, str]:
    """The versions that these requirements need there, by the names of the packages."""
    with tempfile.TemporaryDirectory() as name:
        wanted, bounds = Path(name, "wanted.in"), Path(name, "bounds.txt")
        wanted.write_text("\n".join(requirements))
        bounds.write_text("\n".join(constraints))
        command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
        command += ["--python-version", python, "--python-platform", "x86_64-manylinux_2_39"]
        command += ["--constraint", str(bounds), str(wanted)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    pins = (line.partition("==") for line in done.stdout.splitlines() if "==" in line)
    return {package: version for package, _, version in pins}


def carried(wheel: Path, python: str, present: list[str]) -> dict[str, str]:
    """The packages that the machine lacks, with their versions."""
    mine = f"mlmfast{EXTRAS} @ {wheel.resolve().as_uri()}"
    everything = resolve([mine, *BESIDE, *present], python, present)
    pins = [f"{name}=={version}" for name, version in everything.items()]
    there = resolve(present, python, pins)
    return {name: version for name, version in everything.items() if name not in there}


def download(packages: dict[str, str], python: str, folder: Path) -> None:
    """Download the wheels."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    command += [word for each in PLATFORMS for word in ("--platform", each)]
    command += ["--disable-pip-version-check", "--dest", str(folder)]
    subprocess.run([*command, *(f"{n}=={v}" for n, v in packages.items())], check=True)


def tree() -> bytes:
    """The tests and measurements, as they are committed."""
    command = ["git", "-C", str(ROOT), "archive", "HEAD", *CARRIED]
    return subprocess.run(command, check=True, capture_output=True).stdout


def write(folder: Path, wheels: Path, part_bytes: int) -> list[Path]:
    """Write the parts, their checksums, and the script that unpacks them.

    The parts `bundle.00`, `bundle.01` ... are one tar file if `cat` joins them.
    """
    with tempfile.TemporaryFile() as whole:
        with tarfile.open(fileobj=whole, mode="w") as bundle:
            for wheel in sorted(wheels.iterdir()):
                bundle.add(wheel, f"wheels/{wheel.name}")
            content = tree()
            member = tarfile.TarInfo("tree.tar")
            member.size = len(content)
            bundle.addfile(member, io.BytesIO(content))
        whole.seek(0)
        parts = []
        while part := whole.read(part_bytes):
            parts.append(folder / f"bundle.{len(parts):02d}")
            parts[-1].write_bytes(part)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in parts]
    (folder / "SHA256SUMS").write_text("\n".join([*sums, ""]))
    shutil.copy(Path(__file__).with_name("gpu_unpack.sh"), folder / "unpack.sh")
    return parts


def main() -> None:
    """Write the bundle; say how many parts and megabytes it has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the wheel of mlmfast for x86-64")
    parser.add_argument("output", type=Path, help="a new folder")
    parser.add_argument("--python", default="3.12", help="the Python of the machine")
    parser.add_argument("--present", type=Path, help="the machine's `pip freeze`")
    parser.add_argument("--part-megabytes", type=int, default=PART_MEGABYTES)
    wanted = parser.parse_args()
    start = time.monotonic()
    present = list(PRESENT)
    if wanted.present:
        lines = wanted.present.read_text().splitlines()
        present = [line for line in lines if "==" in line and not line.startswith("mlmfast")]
        # Its onnxruntime gives way to onnxruntime-gpu.
        present = [line for line in present if not line.startswith("onnxruntime")]
    wanted.output.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        wheels = Path(name)
        packages = carried(wanted.wheel, wanted.python, present)
        packages.pop("mlmfast", None)
        download(packages, wanted.python, wheels)
        shutil.copy(wanted.wheel, wheels)
        parts = write(wanted.output, wheels, wanted.part_megabytes * MEGABYTE)
        count = len(list(wheels.iterdir()))
    size = sum(path.stat().st_size for path in parts) / MEGABYTE
    seconds = time.monotonic() - start
    print(f"{count} wheels, {size:.0f} MB, {len(parts)} parts in {wanted.output}, {seconds:.0f} s")


if __name__ == "__main__":
    main()
