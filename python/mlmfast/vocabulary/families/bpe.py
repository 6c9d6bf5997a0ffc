"""BPE: a token arises by merges of tokens, all of which have to stay with it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.verification.edges.vocabulary import steps_of
from mlmfast.vocabulary.families.family import Family, byte_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

_BYTE_LEVEL = "ByteLevel"


class Bpe(Family):
    """Tokens, and the ranked merges by which they arise."""

    name = "BPE"

    def __init__(self, content: Mapping[str, Any], ids: Mapping[str, int]) -> None:
        """Read `content`, a tokenizer.json, whose tokens have `ids` in the library."""
        super().__init__(content, ids)
        steps = [
            *steps_of(content.get("pre_tokenizer")),
            *steps_of(content.get("normalizer")),
            *steps_of(content.get("decoder")),
        ]
        self._byte_level = any(step.get("type") == _BYTE_LEVEL for step in steps)

    def required(self) -> set[int]:
        """Return the unknown token and the tokens of bytes."""
        kept = super().required()
        if self._byte_level:
            from tokenizers.pre_tokenizers import ByteLevel

            kept |= self._known(*ByteLevel.alphabet())
        if self._model.get("byte_fallback"):
            kept |= self._known(*byte_tokens())
        return kept

    def parts(self, number: int) -> set[int]:
        """Return every token that appears while the merges make this one.

        Inside a text, a token arises by the merges that make it of its characters alone: none
        crosses its borders, and among those inside the least rank comes first. So these tokens
        suffice wherever it occurs. A token that its characters do not give (it comes from
        `ignore_merges`, or never) gets all tokens of all merges that lead to it.
        """
        token = self.tokens[number]
        seen, last = self._run(token)
        if last != [token]:
            seen = self._all_parts(token)
        return self._known(*seen) - {number}

    def model(self, new_ids: Mapping[int, int]) -> dict[str, Any]:
        """Return the model section with the kept tokens, and the merges between them."""
        model = super().model(new_ids)
        vocab = model["vocab"]
        model["merges"] = [
            entry
            for entry, (left, right, merged) in zip(
                self._model["merges"], self._merges, strict=True
            )
            if left in vocab and right in vocab and merged in vocab
        ]
        return model

    @cached_property
    def _merges(self) -> list[tuple[str, str, str]]:
        """The merges in their order: left, right, and what becomes of them."""
        merges = []
        for entry in self._model["merges"]:
            left, right = entry.split(" ") if isinstance(entry, str) else entry
            merges.append((left, right, left + right[len(self._prefix) :]))
        return merges

    @cached_property
    def _ranks(self) -> dict[tuple[str, str], tuple[int, str]]:
        return {
            (left, right): (rank, merged) for rank, (left, right, merged) in enumerate(self._merges)
        }

    @cached_property
    def _leading_to(self) -> dict[str, list[tuple[str, str]]]:
        leading = defaultdict(list)
        for left, right, merged in self._merges:
            leading[merged].append((left, right))
        return leading

    def _run(self, token: str) -> tuple[set[str], list[str]]:
        """Merge the characters of a token; return every token on the way, and the last ones."""
        symbols = self._symbols(token)
        seen = set(symbols)
        while len(symbols) > 1:
            pairs = itertools.pairwise(symbols)
            ranked = [
                (*self._ranks[pair], at) for at, pair in enumerate(pairs) if pair in self._ranks
            ]
            if not ranked:
                break
            _, merged, at = min(ranked, key=lambda one: (one[0], one[2]))
            symbols[at : at + 2] = [merged]
            seen.add(merged)
        return seen, symbols

    def _symbols(self, token: str) -> list[str]:
        """Return the characters of a token as merges begin with them."""
        inside = bool(self._prefix) and token.startswith(self._prefix)
        ends = bool(self._suffix) and token.endswith(self._suffix)
        letters = list(token.removeprefix(self._prefix).removesuffix(self._suffix))
        symbols = [
            letter if at == 0 and not inside else self._prefix + letter
            for at, letter in enumerate(letters)
        ]
        if ends and symbols:
            symbols[-1] += self._suffix
        return symbols

    def _all_parts(self, token: str) -> set[str]:
        seen: set[str] = set()
        open_tokens = [token]
        while open_tokens:
            one = open_tokens.pop()
            if one not in seen:
                seen.add(one)
                open_tokens += [part for pair in self._leading_to.get(one, ()) for part in pair]
        return seen
