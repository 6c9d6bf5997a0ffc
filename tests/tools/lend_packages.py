"""Show an environment some packages of this one, by links: torch alone would be 5 GB once more.

`python tests/tools/lend_packages.py ENVIRONMENT PACKAGE...` links each package and all it requires,
except what is there already. Install into that environment first and lend afterwards: an installer
that replaced a package lent would follow the link.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement


def lend(name: str, target: Path, seen: set[str], asked: dict[str, set[str]]) -> None:
    """Link the files of a package, and of those it requires, into a site-packages folder.

    Args:
        name: the package.
        target: the folder.
        seen: packages that are there or were lent, to which this one is added.
        asked: package -> extras of it that others asked for, which bring NVIDIA's libraries.
    """
    name = _plain(name)
    if name in seen:
        return
    seen.add(name)
    package = importlib.metadata.distribution(name)
    source = Path(str(package.locate_file("")))
    for entry in _tops(package):
        if not (target / entry).exists():
            (target / entry).symlink_to((source / entry).absolute())
    for line in package.requires or []:
        wanted = Requirement(line)
        extras = {"", *asked.get(name, ())}
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": e}) for e in extras):
            asked.setdefault(_plain(wanted.name), set()).update(wanted.extras)
            try:
                lend(wanted.name, target, seen, asked)
            except importlib.metadata.PackageNotFoundError:
                continue


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _tops(package: importlib.metadata.Distribution) -> Iterator[str]:
    """What a package has put into site-packages itself: folders and single files."""
    tops = {file.parts[0] for file in package.files or () if file.parts[0] not in ("..", "bin")}
    return iter(sorted(tops - {"__pycache__"}))


def _main(environment: str, *names: str) -> None:
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    python = Path(environment) / "bin" / "python"
    found = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    target = Path(found.stdout.strip())
    for entry in target.iterdir():  # of a version that the lender has replaced
        if entry.is_symlink() and not entry.exists():
            entry.unlink()
    seen = {
        _plain(package.name) for package in importlib.metadata.distributions(path=[str(target)])
    }
    for name in names:
        lend(name, target, seen, {})


if __name__ == "__main__":
    _main(*sys.argv[1:])
