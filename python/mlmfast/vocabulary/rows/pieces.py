"""The old pieces of a new token's text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.verification.edges.vocabulary import steps_of
from mlmfast.vocabulary.families.wordpiece import longest_matches
from mlmfast.vocabulary.rows.spelling import Speller, Spelling

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from mlmfast.data.tokenization.loaded import LoadedTokenizer


class OldPieces:
    """Finds tokens of the old tokenizer: the same token, or the pieces of a text."""

    def __init__(self, loaded: LoadedTokenizer) -> None:
        """Index the tokens of a tokenizer by what they stand for."""
        self._tokenizer = loaded.tokenizer
        self._speller = Speller(loaded)
        self._vocabulary = loaded.tokenizer.get_vocab()
        self._unknown = self._vocabulary.get(loaded.tokens.get("unk_token", ""))
        self._tokens = {number: token for token, number in self._vocabulary.items()}
        self._special = set(loaded.special_ids)
        self._index = self._spelled_tokens()
        self._bare: Tokenizer | None = _without_prefix(loaded)

    def same(self, token: str, speller: Speller) -> int | None:
        """Return the old token that stands for the same text in the same role as a new one.

        Args:
            token: the new token.
            speller: that of its tokenizer.

        Returns:
            Its id; None if there is none.
        """
        written = self._vocabulary.get(token)
        if speller.signs == self._speller.signs and written is not None:
            return None if written in self._special else written
        spellings = speller.spellings(token)
        return next((self._index[one] for one in spellings if one in self._index), None)

    def of(self, spelling: Spelling) -> list[int]:
        """Return the pieces of a text, without unknown ones; empty if all are unknown."""
        if not spelling.whole:
            single = (Spelling(bytes([byte]), whole=False) for byte in spelling.content)
            bytes_known = [self._byte(one) for one in single]
            return [number for number in bytes_known if number is not None]
        text = spelling.content.decode()
        known = [
            [number for number in ids if number != self._unknown] for ids in self._readings(text)
        ]
        in_role = (ids for ids in known if ids and self._begins_word(ids[0], spelling))
        return next(in_role, next(filter(None, known), []))

    def _readings(self, text: str) -> list[list[int]]:
        """Return the ids of a text in different surroundings, the likeliest first."""
        readings = []
        if self._speller.prefix is not None and not text.startswith(" "):
            readings.append(self._inside_word(text))
        if self._bare is not None:
            readings.append(self._bare.encode(text, add_special_tokens=False).ids)
        readings.append(self._tokenizer.encode(text, add_special_tokens=False).ids)
        readings.append(self._tokenizer.encode(text.strip(), add_special_tokens=False).ids)
        return readings

    def _inside_word(self, text: str) -> list[int]:
        """Return the pieces of a text that continues a word, by WordPiece."""
        tokenizer: Any = self._tokenizer
        if tokenizer.normalizer is not None:
            text = tokenizer.normalizer.normalize_str(text)
        words = [text]
        if tokenizer.pre_tokenizer is not None:
            words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        ids: list[int] = []
        for at, word in enumerate(words):
            inside = at == 0 and word[0].isalnum()
            pieces, whole = longest_matches(
                word, self._vocabulary, str(self._speller.prefix), inside=inside
            )
            ids += pieces if whole else []
        return ids

    def _begins_word(self, number: int, spelling: Spelling) -> bool:
        found = self._speller.spellings(self._tokens[number])
        return any(one.begins_word == spelling.begins_word for one in found)

    def _byte(self, spelling: Spelling) -> int | None:
        known = self._index.get(spelling)
        return self._index.get(Spelling(spelling.content)) if known is None else known

    def _spelled_tokens(self) -> dict[Spelling, int]:
        index: dict[Spelling, int] = {}
        others: list[tuple[Spelling, int]] = []
        prefix = self._speller.prefix or "\0"
        # A character that stands alone is more usual than the same one inside a word. (The library
        # gives the tokens in another order each time.)
        order = sorted(
            self._vocabulary.items(), key=lambda one: (one[0].startswith(prefix), one[1])
        )
        for token, number in order:
            if number not in self._special:
                first, *more = self._speller.spellings(token)
                index.setdefault(first, number)
                others += [(one, number) for one in more]
        for spelling, number in others:
            index.setdefault(spelling, number)
        return index


def _without_prefix(loaded: LoadedTokenizer) -> Tokenizer | None:
    """Return the tokenizer without the space that it puts before a text; None if it puts none."""
    from tokenizers import Tokenizer

    content = json.loads(loaded.tokenizer.to_str())
    changed = False
    for part in ("normalizer", "pre_tokenizer"):
        for step in steps_of(content.get(part)):
            changed |= _drop_prefix(step)
    return Tokenizer.from_str(json.dumps(content)) if changed else None


def _drop_prefix(step: dict[str, Any]) -> bool:
    """Change a step that puts a sign before a text; return whether it is one."""
    kind = step.get("type")
    if kind == "Metaspace":
        step["prepend_scheme"] = "never"
        return True
    if kind == "ByteLevel" and step.get("add_prefix_space"):
        step["add_prefix_space"] = False
        return True
    if kind == "Prepend":
        step["prepend"] = ""
        return True
    return False
