"""Answers in the order of the texts, with a bounded number of texts in flight."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Pending(Protocol):
    """Texts that are being answered."""

    # The error of the text after the last one that is answered, if there is one.
    error: InputError | None

    def results(self) -> list[Any]:
        """Wait for the answers."""

    def cancel(self) -> None:
        """Drop what has not started."""


def in_order(
    texts: Iterable[Any],
    start: Callable[[list[Any], int], Pending],
    *,
    read_ahead: int,
) -> Iterator[Any]:
    """Answer `texts` in pieces: one piece is tokenized and decoded while another is computed.

    Args:
        texts: any iterable.
        start: starts a piece, given its texts and the number of the first, counted from 1.
        read_ahead: texts that are read and not answered yet, at most.

    Yields:
        The answers, in the order of the texts.

    Raises:
        Exception: the error of `texts` or of a piece, after the answers of all texts before it.
    """
    remaining = iter(texts)
    piece = max(1, read_ahead // 2)
    running: deque[tuple[int, Pending]] = deque()
    in_flight, number = 0, 1
    failure: Exception | None = None
    ended = False
    try:
        while True:
            while not ended and in_flight + piece <= read_ahead:
                taken: list[Any] = []
                try:
                    for text in islice(remaining, piece):
                        taken.append(text)  # noqa: PERF402 - kept if the source fails
                except Exception as error:  # noqa: BLE001 - raised after the answers before it
                    failure = error
                ended = len(taken) < piece
                if taken:
                    pending = start(taken, number)
                    running.append((len(taken), pending))
                    in_flight += len(taken)
                    number += len(taken)
                    if pending.error:
                        failure, ended = pending.error, True
            if not running:
                break
            count, pending = running.popleft()
            yield from pending.results()
            in_flight -= count
    finally:
        for _, pending in running:
            pending.cancel()
    if failure is not None:
        raise failure


class SizedAnswers:
    """An iterator of answers with a length, for progress bars."""

    def __init__(self, answers: Iterator[Any], length: int) -> None:
        self._answers = answers
        self._length = length

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._answers)

    def __len__(self) -> int:
        return self._length
