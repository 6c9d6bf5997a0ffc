"""Versions of installed packages, for reports."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable


def installed_versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the versions of Python and of `packages`; None for one that is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions
