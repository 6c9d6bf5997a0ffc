"""Check what a release uploads: that wheels and sdist are whole. `make wheels` does it.

Each wheel must have the compiled core, the licences and the list of its crates; the sdist must
have what a build with `--locked` reads, and none of the large files of a checkout.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

from wheel_smoke import files_missing

ROOT = Path(__file__).parents[2]
LARGEST_MEGABYTES = 10
IN_SDIST = (
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "PKG-INFO",
    "pyproject.toml",
    "rust/LICENSES.txt",
)


def faults_of_wheel(path: Path) -> list[str]:
    """What is wrong with a wheel."""
    faults = [f"lacks {name}" for name in files_missing(path)]
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        core = "_core.pyd" if "-win" in path.name else "_core.abi3.so"
        endings = (core, "licenses/LICENSE", "licenses/rust/LICENSES.txt", ".cyclonedx.json")
        faults += [f"lacks {end}" for end in endings if not any(n.endswith(end) for n in names)]
        lists = [name for name in names if name.endswith(".cyclonedx.json")]
        listed = {
            (each["name"], each["version"])
            for name in lists
            for each in json.loads(wheel.read(name))["components"]
        }
    locked = {(each["name"], each["version"]) for each in locked_crates()}
    faults += [f"lists {name} {version}, which is not locked" for name, version in listed - locked]
    return faults


def locked_crates() -> list[dict[str, str]]:
    """The crates of Cargo.lock."""
    crates: list[dict[str, str]] = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return crates


def faults_of_sdist(path: Path) -> list[str]:
    """What is wrong with an sdist."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        size = sum(member.size for member in archive.getmembers())
    faults = [f"lacks {name}" for name in IN_SDIST if name not in names]
    sources = (ROOT / "rust").rglob("*.rs")
    missing = [p.relative_to(ROOT).as_posix() for p in sources]
    faults += [f"lacks {name}" for name in missing if name not in names]
    if size > LARGEST_MEGABYTES * 10**6:
        faults.append(f"has {size / 10**6:.0f} MB")
    return faults


def main(folder: str) -> None:
    """Check all files of a folder; print their sizes."""
    faults = []
    for path in sorted(Path(folder).iterdir()):
        found = faults_of_wheel(path) if path.suffix == ".whl" else faults_of_sdist(path)
        faults += [f"{path.name} {fault}" for fault in found]
        print(f"{path.name}: {path.stat().st_size / 10**6:.1f} MB")
    if faults:
        raise SystemExit("\n".join(faults))


if __name__ == "__main__":
    main(sys.argv[1])
