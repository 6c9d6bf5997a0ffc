"""The source of each row of a new tokenizer's tokens, in the rows of the old one's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmfast.vocabulary.model.sources import Mixture, RowSources
from mlmfast.vocabulary.rows.pieces import OldPieces
from mlmfast.vocabulary.rows.spelling import Speller

if TYPE_CHECKING:
    from mlmfast.data.tokenization.loaded import LoadedTokenizer

# Roles that stand in for one another where a tokenizer has only one of them.
_ALIKE = {
    "bos_token": "cls_token",
    "cls_token": "bos_token",
    "eos_token": "sep_token",
    "sep_token": "eos_token",
}


@dataclass(frozen=True)
class InitialRows:
    """Where the rows of new tokens come from.

    Attributes:
        roles: new id -> old id, of special tokens with the same role.
        shared: new id -> old id, of tokens that stand for the same text.
        means: new id -> mixture of the old pieces of its text.
        unknown: ids whose text the old tokenizer does not know.
    """

    roles: dict[int, int]
    shared: dict[int, int]
    means: dict[int, Mixture]
    unknown: set[int]

    def sources(self, size: int, fallback: int) -> RowSources:
        """Return the sources of `size` rows; unknown tokens, and unused ids, get `fallback`."""
        known: dict[int, int | Mixture] = {**self.means, **self.shared, **self.roles}
        return RowSources.of([known.get(number, fallback) for number in range(size)])


def initial_rows(old: LoadedTokenizer, new: LoadedTokenizer) -> InitialRows:
    """Find the old row, or the mean of old rows, of each token of a new tokenizer.

    Special tokens go by their roles. A token of the same text in the same role (begins a word, or
    does not) is the same token, however it is written: `\u0120word`, `\u2581word` and WordPiece's
    `word`. Every other one gets the mean of the pieces that the old tokenizer splits its text into.
    """
    pieces, speller = OldPieces(old), Speller(new)
    roles = _roles(old, new)
    shared: dict[int, int] = {}
    means: dict[int, Mixture] = {}
    unknown: set[int] = set()
    old_vocabulary = old.tokenizer.get_vocab()
    special = set(new.special_ids)
    for token, number in new.tokenizer.get_vocab().items():
        if number in roles:
            continue
        if number in special:
            if token in old_vocabulary:
                shared[number] = old_vocabulary[token]
            else:
                unknown.add(number)
            continue
        same = pieces.same(token, speller)
        if same is not None:
            shared[number] = same
        elif ids := pieces.of(speller.spellings(token)[0]):
            means[number] = _mean(ids)
        else:
            unknown.add(number)
    return InitialRows(roles, shared, means, unknown)


def _mean(ids: list[int]) -> Mixture:
    mixture: Mixture = {}
    for number in ids:
        mixture[number] = mixture.get(number, 0.0) + 1 / len(ids)
    return mixture


def _roles(old: LoadedTokenizer, new: LoadedTokenizer) -> dict[int, int]:
    found: dict[int, int] = {}
    old_ids, new_ids = old.tokenizer.get_vocab(), new.tokenizer.get_vocab()
    for role, token in new.tokens.items():
        known = old.tokens.get(role, old.tokens.get(_ALIKE.get(role, "")))
        if known in old_ids and token in new_ids:
            found.setdefault(new_ids[token], old_ids[known])
    return found
