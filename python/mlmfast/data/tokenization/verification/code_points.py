"""Code points that the core and the installed library encode differently."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from mlmfast.data.tokenization.verification.comparing import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

    from mlmfast import _core

# Code points compared in one text. Where the ids differ, the group is split and compared again.
_GROUP_SIZE = 64
_SPLIT_FACTOR = 8
# Unicode planes with assigned characters; the other planes are unassigned or for private use.
_PLANES = (0, 1, 2, 3, 14)


@cache
def unknown_code_points() -> list[tuple[int, int]]:
    """Return ranges (first, one past the last) of unassigned and private-use code points."""
    ranges: list[tuple[int, int]] = []
    for plane in range(0, 0x110000, 0x10000):
        if plane >> 16 not in _PLANES:
            ranges.append((plane, plane + 0x10000))
            continue
        for point in range(plane, plane + 0x10000):
            if unicodedata.category(chr(point)) in {"Cn", "Co"}:
                if ranges and ranges[-1][1] == point:
                    ranges[-1] = (ranges[-1][0], point + 1)
                else:
                    ranges.append((point, point + 1))
    return ranges


def known_code_points() -> list[int]:
    """Return all code points assigned in Python's Unicode tables, without surrogates."""
    points = range(0x110000)
    unknown = {point for first, end in unknown_code_points() for point in range(first, end)}
    return [point for point in points if point not in unknown and not 0xD800 <= point < 0xE000]


def differing_code_points(tokenizer: Tokenizer, core: _core.Encoder) -> list[int]:
    """Return the code points for which `core` and `tokenizer` give different ids."""
    known = known_code_points()
    groups = [known[start : start + _GROUP_SIZE] for start in range(0, len(known), _GROUP_SIZE)]
    differing: list[int] = []
    while groups:
        found = compare(tokenizer, core, [_in_contexts(group) for group in groups])
        split = []
        for group, same, left_to_library in zip(groups, found.equal, found.left, strict=True):
            if len(group) == 1:
                differing += [] if same else group
            elif left_to_library or not same:  # one pending code point hides the others of a group
                size = -(-len(group) // _SPLIT_FACTOR)
                split += [group[at : at + size] for at in range(0, len(group), size)]
        groups = split
    return differing


def _in_contexts(points: Sequence[int]) -> str:
    """Return a text with each character in every context that can change how it is encoded."""
    templates = ((p, _SHORT_TEMPLATE if _is_uniform(p) else _LONG_TEMPLATE) for p in points)
    return " ".join(template.format(chr(p)) for p, template in templates)


# Alone, inside a word, before a contraction; the long template adds punctuation, repetition, the
# order of combining marks, and marks beside letters that normalization folds.
_SHORT_TEMPLATE = "{0} a{0}b {0}'s"
_LONG_TEMPLATE = (
    _SHORT_TEMPLATE
    + " a?{0}b {0}{0} a{0}\u0301 a{0}\u0323\u0301 a\u0301{0}\u0323e \u00aa{0}x {0}\u00aa"
)


def _is_uniform(point: int) -> bool:
    """Whether a character is one of the many ideographs and syllables that are encoded alike."""
    # Compatibility ideographs, which normalizers replace, have a decomposition, and so do Hangul
    # syllables, by rule.
    if 0xAC00 <= point < 0xD7A4:
        return True
    letter = chr(point)
    many = 0x3400 <= point < 0xA000 or point >= 0x12000
    return many and unicodedata.category(letter) == "Lo" and not unicodedata.decomposition(letter)
