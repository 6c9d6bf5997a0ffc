"""What a queue takes before it refuses more."""

from __future__ import annotations

from dataclasses import dataclass

from mlmfast.errors import InputError, MlmfastError

# Texts are held as they came until they are tokenized: this bounds them, in characters.
MOST_CHARACTERS = 64 << 20
# Requests as large as they may be, answered in steps, whose passes may be in hand at once.
FULL_REQUESTS = 4


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds of one model's queue.

    Attributes:
        max_texts: texts that are in hand at once, those being run included.
        max_delay: seconds that a request waits for others to share its batch.
        max_rows: rows that one request may be answered with: masks x top_k, over all its texts.
        max_passes: questions that one request may need which is answered in steps.
    """

    max_texts: int = 1024
    max_delay: float = 0.002
    max_rows: int = 10_000
    max_passes: int = 1024


class QueueFullError(MlmfastError):
    """Too many texts are in hand already.

    Attributes:
        retry_after: seconds after which there should be room.
    """

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.retry_after = retry_after


class ClosedError(MlmfastError):
    """The model takes no more requests: it was replaced, or the server stops."""


class TooManyRowsError(InputError):
    """A request that would be answered with more rows than one request may have."""


class TooManyPassesError(InputError):
    """A request for which the model would be asked more often than for one it may be."""
