"""What a token stands for in a text, whatever the signs of its vocabulary are."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from mlmfast.data.tokenization.verification.edges.vocabulary import steps_of
from mlmfast.data.tokenization.word_boundaries import byte_of

if TYPE_CHECKING:
    from mlmfast.data.tokenization.loaded import LoadedTokenizer

_SPACE = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
# Han characters, which BERT's pre-tokenizer makes words of their own.
_HAN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F))


class Spelling(NamedTuple):
    """The bytes of a token in UTF-8; a space before a word is one of them.

    Attributes:
        content: the bytes.
        whole: False for bytes that are only part of a character.
    """

    content: bytes
    whole: bool = True

    @property
    def begins_word(self) -> bool:
        """Whether there is a space before it."""
        return self.content[:1] == b" "


class Speller:
    """Spells the tokens of one tokenizer.

    Attributes:
        byte_level: whether tokens are written in the alphabet of bytes.
        prefix: the prefix of pieces that continue a word; None if there is none.
        has_signs: whether tokens have a sign for the space before a word.
        signs: all of these; tokenizers with the same ones write a text in the same way.
    """

    def __init__(self, loaded: LoadedTokenizer) -> None:
        """Read the family of a tokenizer from its tokenizer.json."""
        content = json.loads(loaded.tokenizer.to_str())
        model = content["model"]
        steps = [
            *steps_of(content.get("pre_tokenizer")),
            *steps_of(content.get("normalizer")),
            *steps_of(content.get("decoder")),
        ]
        self.byte_level = any(step.get("type") == "ByteLevel" for step in steps)
        self.prefix: str | None = None
        if model["type"] == "WordPiece":
            self.prefix = model["continuing_subword_prefix"]
        self.has_signs = self.byte_level or any(_SPACE in token for token in _tokens(model))
        self.signs = (self.byte_level, self.prefix, self.has_signs)
        self._added = {token["content"] for token in content.get("added_tokens") or []}

    def spellings(self, token: str) -> list[Spelling]:
        """Return the spellings of a token, the most usual one first.

        WordPiece separates punctuation and Han characters from words, with a space before them or
        without; such a token has both spellings.
        """
        if token in self._added:
            return [Spelling(token.encode())]
        if self.byte_level:
            found = bytes(byte for byte in map(byte_of, token) if byte is not None)
            return [Spelling(found, _is_text(found))]
        if self.prefix is not None:
            if token.startswith(self.prefix) and token != self.prefix:
                return [Spelling(token.removeprefix(self.prefix).encode())]
            both = [Spelling(token.encode()), Spelling(b" " + token.encode())]
            return both if _stands_alone(token) else both[1:]
        if byte := _BYTE.fullmatch(token):
            return [Spelling(bytes([int(byte[1], 16)]), whole=False)]
        if self.has_signs:
            return [Spelling(token.replace(_SPACE, " ").encode())]
        return [Spelling(b" " + token.encode())]  # whole words


def _tokens(model: dict) -> list[str]:
    vocab = model["vocab"]
    return list(vocab) if isinstance(vocab, dict) else [piece for piece, _ in vocab]


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _stands_alone(token: str) -> bool:
    if len(token) != 1:
        return False
    if token.isascii():
        return not token.isalnum()
    return unicodedata.category(token).startswith("P") or any(
        low <= ord(token) <= high for low, high in _HAN
    )
