"""The phases of a recipe that a resume finds changed: `phase_changes`."""

from __future__ import annotations

from itertools import zip_longest
from typing import TypedDict

from mlmfast.training.trainer.saving.resume_changes import Change


class PhaseRecord(TypedDict):
    """What a phase does, as a checkpoint's run records it."""

    name: str
    steps: int
    what: str
    """Its steps, blocks and rates in words, with every number that a step depends on."""
    data: str
    """Checksum of its blocks."""


def phase_changes(
    before: list[PhaseRecord], now: list[PhaseRecord], step: int
) -> tuple[list[Change], list[Change]]:
    """Compare the phases of a checkpoint with the present ones.

    Args:
        before: those of the checkpoint.
        now: the present ones.
        step: the steps that the checkpoint has done.

    Returns:
        The changes of phases that have begun, and those of later ones.
    """
    begun: list[Change] = []
    later: list[Change] = []
    first = 0
    for number, (old, new) in enumerate(zip_longest(before, now), 1):
        if old != new:
            known = new or old
            name = f"phase {number} ({known['name'] if known else ''})"
            change = Change(name, _described(old, new), _described(new, old))
            (begun if old is not None and first < step else later).append(change)
        first += old["steps"] if old is not None else 0
    return begun, later


def _described(phase: PhaseRecord | None, other: PhaseRecord | None) -> str:
    if phase is None:
        return "none"
    if other is None or phase["what"] != other["what"]:
        return phase["what"]
    if phase["name"] != other["name"]:
        return f"named {phase['name']}"
    return f"blocks with the checksum {phase['data'][:12]}"
