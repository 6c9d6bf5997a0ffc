"""Which versions are installed, for reports."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable


def installed_versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Versions of Python and of `packages`; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found
