"""Whether the versions of the installed packages fit together, by their own metadata."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping

from mlmfast.doctor.facts import Conflict


def installed_requirements(packages: Iterable[str]) -> dict[str, list[str]]:
    """What each installed package of `packages` requires, in the words of its metadata."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def installed_version(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def find_conflicts(
    requirements: Mapping[str, Iterable[str]],
    version_of: Mapping[str, str | None] | None = None,
) -> tuple[Conflict, ...]:
    """Requirements that are not met; extras that nobody asked for are left out.

    Args:
        requirements: of each package, as `installed_requirements` gives them.
        version_of: versions of the packages, those that are installed if None.
    """
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:  # onnxruntime and transformers both bring it; without them little can clash
        return ()
    conflicts = []
    for package, lines in requirements.items():
        for line in lines:
            try:
                wanted = Requirement(line)
            except InvalidRequirement:
                continue
            if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
                continue
            found = (
                installed_version(wanted.name)
                if version_of is None
                else version_of.get(wanted.name)
            )
            if found is None or not wanted.specifier.contains(found, prereleases=True):
                conflicts.append(
                    Conflict(
                        package=package,
                        wanted=wanted.name,
                        specifier=str(wanted.specifier),
                        found=found,
                    )
                )
    return tuple(conflicts)
