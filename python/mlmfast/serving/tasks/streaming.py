"""Answers in the order of the texts, with a bounded number of texts on their way."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Pending(Protocol):
    """Texts that are being answered."""

    # What is wrong with the text after the last one that is answered, if anything is.
    error: InputError | None

    def results(self) -> list[Any]:
        """Wait for the answers."""

    def cancel(self) -> None:
        """Drop what has not begun."""


def in_order(
    texts: Iterable[Any],
    begin: Callable[[list[Any], int], Pending],
    *,
    read_ahead: int,
) -> Iterator[Any]:
    """Answer `texts` piece by piece: one piece is read and written while another is computed.

    Args:
        texts: any iterable.
        begin: starts a piece, given its texts and the number of the first, counted from 1.
        read_ahead: texts that are read and not answered, at most.

    Yields:
        The answers, in the order of the texts.

    Raises:
        Exception: whatever ends `texts` or a piece early, once all texts before have their answers.
    """
    remaining = iter(texts)
    piece = max(1, read_ahead // 2)
    running: deque[tuple[int, Pending]] = deque()
    on_their_way, number = 0, 1
    failure: Exception | None = None
    ended = False
    try:
        while True:
            while not ended and on_their_way + piece <= read_ahead:
                taken: list[Any] = []
                try:
                    for text in islice(remaining, piece):
                        taken.append(text)  # noqa: PERF402 - kept should the source fail
                except Exception as error:  # noqa: BLE001 - held until its turn has come
                    failure = error
                ended = len(taken) < piece
                if taken:
                    pending = begin(taken, number)
                    running.append((len(taken), pending))
                    on_their_way += len(taken)
                    number += len(taken)
                    if pending.error:
                        failure, ended = pending.error, True
            if not running:
                break
            count, pending = running.popleft()
            yield from pending.results()
            on_their_way -= count
    finally:
        for _, pending in running:
            pending.cancel()
    if failure is not None:
        raise failure


class SizedAnswers:
    """An iterator of answers that knows how many there are in all, as tqdm likes to."""

    def __init__(self, answers: Iterator[Any], length: int) -> None:
        self._answers = answers
        self._length = length

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._answers)

    def __len__(self) -> int:
        return self._length
