"""The control groups of this process, each of which may limit its processor time and its memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_ROOT = Path("/")


class _Mount(NamedTuple):
    """A hierarchy of control groups in the file system.

    Attributes:
        controllers: those of version 1 that it has; empty for version 2, which has all.
        group: the group that lies at `folder`.
        folder: the mount point.
    """

    controllers: frozenset[str]
    group: PurePosixPath
    folder: Path


def control_groups(controller: str, root: Path = _ROOT) -> list[Path]:
    """List the folders of this process's control group and of its ancestors, innermost first.

    The limits of an ancestor hold as well: systemd's `CPUQuota=` on a slice binds every service in
    it. Versions 1 and 2 of control groups are read, also side by side.

    Args:
        controller: "cpu" or "memory".
        root: where /proc and /sys are.

    Returns:
        Folders, some of which may not exist; none where the system has no control groups.
    """
    groups = _own_groups(root)
    mounts = _mounts(root) or _usual_mounts(groups, root)
    folders: list[Path] = []
    for controllers, group in groups:
        if controllers and controller not in controllers:
            continue
        for mount in mounts:
            if controller in mount.controllers if controllers else not mount.controllers:
                folders += _up_to_mount(group, mount)
    return list(dict.fromkeys(folders))


def _own_groups(root: Path) -> list[tuple[frozenset[str], PurePosixPath]]:
    """Read this process's group in each hierarchy from lines `ID:CONTROLLERS:PATH`.

    The ID 0 stands for version 2.
    """
    groups = []
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path.startswith("/"):
            names = frozenset() if number == "0" else frozenset(controllers.split(","))
            groups.append((names, PurePosixPath(path)))
    return groups


def _mounts(root: Path) -> list[_Mount]:
    """Read where hierarchies are mounted: `... GROUP FOLDER ... - TYPE SOURCE OPTIONS`."""
    mounts = []
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if len(left) < 5 or len(right) < 3 or right[0] not in ("cgroup", "cgroup2"):
            continue
        group, folder = _unescaped(left[3]), _unescaped(left[4])
        controllers = frozenset() if right[0] == "cgroup2" else frozenset(right[2].split(","))
        mounts.append(_Mount(controllers, PurePosixPath(group), root / folder.lstrip("/")))
    return mounts


def _usual_mounts(groups: list[tuple[frozenset[str], PurePosixPath]], root: Path) -> list[_Mount]:
    """Return the usual mount points, for systems that do not list their mounts."""
    top = root / "sys/fs/cgroup"
    mounts = []
    for controllers, _ in groups:
        names = sorted(controllers) or ["", "unified"]
        mounts += [_Mount(controllers, PurePosixPath("/"), top / name) for name in names]
    return mounts


def _up_to_mount(group: PurePosixPath, mount: _Mount) -> Iterator[Path]:
    """Yield the folders from a group up to the mount point.

    Within a namespace a group may lie outside what is mounted (`/../other`), or the other way
    round; the mount point, which holds the container's own limits, then stands for it.
    """
    try:
        inside = group.relative_to(mount.group)
    except ValueError:
        inside = PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    folder = mount.folder / inside
    while folder != mount.folder:
        yield folder
        folder = folder.parent
    yield mount.folder


def _unescaped(field: str) -> str:
    """Decode a field of mountinfo, which writes a blank in octal."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
