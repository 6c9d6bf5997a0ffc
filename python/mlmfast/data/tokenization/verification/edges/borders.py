"""Texts moved along the borders of the blocks in which the core scans."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Bytes that the core scans at once.
BLOCK = 64
_MOST_PLACES = 24


def at_borders(text: str) -> Iterator[str]:
    """Yield `text` alone, and with a border of blocks before, within and after it."""
    yield text
    size = len(text.encode())
    step = -(-(size + 2) // _MOST_PLACES)
    for place in sorted({*range(-1, size + 1, step), 0, size}):
        start = "x" * (BLOCK - 1 - (place % BLOCK))
        yield f"{start} {text}"
        yield f"{start}y{text} z"


def at_all_offsets(text: str) -> Iterator[str]:
    """Yield `text` after a word of each length up to a block, and after that word and a space."""
    for offset in range(BLOCK + 1):
        start = "x" * offset
        yield f"{start}{text}"
        yield f"{start} {text}"
