"""The family of a tokenizer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.python_classes.slow import SlowTokenizer
from mlmfast.errors import InputError
from mlmfast.vocabulary.families.bpe import Bpe
from mlmfast.vocabulary.families.unigram import Unigram
from mlmfast.vocabulary.families.word_level import WordLevel
from mlmfast.vocabulary.families.wordpiece import WordPiece

if TYPE_CHECKING:
    from typing import Self

    from mlmfast.data.tokenization.loaded import LoadedTokenizer
    from mlmfast.vocabulary.families.family import Family

_FAMILIES: dict[str, type[Family]] = {one.name: one for one in (Bpe, Unigram, WordLevel, WordPiece)}


class RawFloat(float):
    """A number of a JSON file that remembers its digits.

    The `tokenizers` library may parse a decimal with an error in the last bit, which can decide
    between equal segmentations. Scores are therefore written with the digits they were read with.
    """

    text: str

    def __new__(cls, text: str) -> Self:
        """Parse the digits."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def check_fast(loaded: LoadedTokenizer) -> None:
    """Raise InputError if a tokenizer has no tokenizer.json, or one of an unknown form."""
    if isinstance(loaded.tokenizer, SlowTokenizer):
        raise InputError(
            f"The tokenizer {loaded.name!r} exists in Python only, without a tokenizer.json, so "
            "its vocabulary cannot be changed: convert it to a fast tokenizer first."
        )


def read_content(loaded: LoadedTokenizer) -> dict[str, Any]:
    """Return the tokenizer.json of a tokenizer, the digits of its numbers remembered.

    Raises:
        InputError: the tokenizer has none, or one in the form of `tokenizers` 1.0.
    """
    check_fast(loaded)
    content: dict[str, Any] = json.loads(loaded.files["tokenizer.json"], parse_float=RawFloat)
    if content.get("version", "1.0") != "1.0":
        raise InputError(
            f"The tokenizer.json of {loaded.name!r} is written in form {content['version']}; its "
            "vocabulary can be changed in form 1.0, that of tokenizers before 1.0."
        )
    return content


def open_family(loaded: LoadedTokenizer, content: dict[str, Any]) -> Family:
    """Return the family of a tokenizer whose tokenizer.json is `content`.

    Raises:
        InputError: its model is of an unknown type.
    """
    model = content["model"]
    # Old files omit the type, which the library adds.
    kind = model.get("type") or json.loads(loaded.tokenizer.to_str())["model"]["type"]
    if kind not in _FAMILIES:
        raise InputError(
            f"The tokenizer {loaded.name!r} has a model of the type {kind}; vocabularies of "
            f"{', '.join(sorted(_FAMILIES))} can be trimmed."
        )
    ids = loaded.tokenizer.get_vocab(with_added_tokens=False)
    return _FAMILIES[kind](content, ids)
