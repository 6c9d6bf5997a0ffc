"""What the scheduler tells whoever keeps count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch that was run.

    Attributes:
        texts: its rows.
        tokens: tokens of its texts.
        padding: tokens that were added to make its rows equally long.
        seconds: how long the device took.
    """

    texts: int
    tokens: int
    padding: int
    seconds: float


class Watch(Protocol):
    """Whoever keeps count. It is called by the scheduler's threads, and must be quick."""

    def batch_was_run(self, report: BatchReport) -> None:
        """Count a batch."""

    def request_has_begun(self, queue_seconds: float) -> None:
        """Count the time a request waited until its first text was run."""
