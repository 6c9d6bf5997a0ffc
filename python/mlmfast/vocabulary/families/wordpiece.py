"""WordPiece: the longest match first, so fewer tokens change only words that lose one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.vocabulary.families.family import Family

if TYPE_CHECKING:
    from collections.abc import Mapping


class WordPiece(Family):
    """Pieces that begin a word, and pieces with a prefix (`##`) that continue one."""

    name = "WordPiece"
    whole_words = True

    def before_unknown(self, word: str) -> set[int]:
        """Return the pieces that match the beginning of a word, which then ends as unknown.

        Without one of them the search takes a shorter piece, from which a way to the end may lead.
        """
        pieces, _ = longest_matches(word, self.ids, self._prefix)
        return set(pieces)


def longest_matches(
    word: str, ids: Mapping[str, int], prefix: str, *, inside: bool = False
) -> tuple[list[int], bool]:
    """Split a word as WordPiece does, as far as the vocabulary reaches.

    Args:
        word: a word, normalized.
        ids: token -> id.
        prefix: the prefix of pieces that continue a word.
        inside: the word continues another one.

    Returns:
        The ids, and whether they cover the whole word.
    """
    pieces = []
    start = 0
    while start < len(word):
        mark = prefix if start or inside else ""
        for stop in range(len(word), start, -1):
            number = ids.get(mark + word[start:stop])
            if number is not None:
                pieces.append(number)
                start = stop
                break
        else:
            return pieces, False
    return pieces, True
