"""The progress bar of `prepare`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(
    total: int | None, *, shown: bool, start: int = 0, what: str = "prepare"
) -> Iterator[Callable[[int | None], None]]:
    """Show how many bytes are done; yield the function that moves the bar to a position."""
    from tqdm import tqdm

    bar: Any
    with tqdm(
        total=total,
        initial=start,
        unit="B",
        unit_scale=True,
        desc=what,
        # None: no bar where standard error is no terminal.
        disable=None if shown else True,
    ) as bar:

        def advance(position: int | None) -> None:
            if position is not None:
                bar.update(position - bar.n)

        yield advance
