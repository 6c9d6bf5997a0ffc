"""Findings, each with the command that fixes it."""

from __future__ import annotations

import importlib.machinery
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing to know.

    Attributes:
        fault: True where something that is installed does not work; False for advice.
        what: the finding, in a sentence or two.
        mend: the command (or step) that mends it; None where there is nothing to do.
    """

    fault: bool
    what: str
    mend: str | None = None


def fault(what: str, mend: str) -> Finding:
    """Return a finding about something that is installed and does not work."""
    return Finding(fault=True, what=what, mend=mend)


def advice(what: str, mend: str | None = None) -> Finding:
    """Return a finding about something that works and could be better."""
    return Finding(fault=False, what=what, mend=mend)


def install(*requirements: str, anew: bool = False) -> str:
    """Return the command that installs `requirements` into this environment.

    Args:
        requirements: as pip takes them.
        anew: reinstall packages that already have that version.
    """
    words = " ".join(_quoted(each) for each in requirements)
    again = ("--force-reinstall " if _has_pip() else "--reinstall ") if anew else ""
    return f"{_installer()} install {again}{words}"


def uninstall(*packages: str) -> str:
    """Return the command that removes `packages` from this environment."""
    return f"{_installer()} uninstall {'-y ' if _has_pip() else ''}{' '.join(packages)}"


def _installer() -> str:
    return "python -m pip" if _has_pip() else "uv pip"


def _has_pip() -> bool:
    # Not `importlib.util.find_spec`: for the name pip, a hook of setuptools removes distutils for
    # the rest of the process, and `import setuptools` fails.
    return importlib.machinery.PathFinder.find_spec("pip") is not None


def _quoted(requirement: str) -> str:
    return f"'{requirement}'" if set(requirement) & set("<>=!~[]; ") else requirement
