"""Whether the versions of the installed packages fit together, by their own metadata."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping

from mlmfast.doctor.facts import Conflict


def installed_requirements(packages: Iterable[str]) -> dict[str, list[str]]:
    """Return the requirements in the metadata of each installed package of `packages`."""
    requirements = {}
    for name in packages:
        try:
            requirements[name] = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
    return requirements


def installed_version(name: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def find_conflicts(
    requirements: Mapping[str, Iterable[str]],
    version_of: Mapping[str, str | None] | None = None,
) -> tuple[Conflict, ...]:
    """Return the requirements that are not met, without those of extras.

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
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            found = (
                installed_version(requirement.name)
                if version_of is None
                else version_of.get(requirement.name)
            )
            if found is None or not requirement.specifier.contains(found, prereleases=True):
                conflicts.append(
                    Conflict(
                        package=package,
                        wanted=requirement.name,
                        specifier=str(requirement.specifier),
                        found=found,
                    )
                )
    return tuple(conflicts)
