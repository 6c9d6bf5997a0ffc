"""A tokenizer.json opened by the `tokenizers` library, whichever version is installed."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlmfast.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer


@dataclass(frozen=True)
class EncodingOnly:
    """A tokenizer of `tokenizers` 1.0, with the methods of earlier versions that we use.

    That version encodes and decodes, and no longer tells the vocabulary: tokenizer.json does.
    """

    inner: Any = field(repr=False)
    content: str = field(repr=False)
    """The tokenizer.json that it was read from, in the form that the core knows."""
    ids: dict[str, int] = field(repr=False)
    """Token -> id, added tokens included."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> Any:
        """Return the encoding of one text."""
        return self.inner.encode(text, add_special_tokens=add_special_tokens)

    def encode_batch_fast(
        self, texts: Sequence[str], *, add_special_tokens: bool = True
    ) -> list[Any]:
        """Return the encodings of several texts.

        One after the other: the library's own call for batches wakes a pool of threads that no
        setting keeps asleep, and a process with such a pool cannot fork safely.
        """
        return [self.inner.encode(text, add_special_tokens=add_special_tokens) for text in texts]

    def to_str(self) -> str:
        """Return the tokenizer.json; the library itself would write one that only it can read."""
        return self.content

    def token_to_id(self, token: str) -> int | None:
        """Return a token's id."""
        return self.ids.get(token)

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        """Return token -> id."""
        return dict(self.ids) if with_added_tokens else _model_ids(json.loads(self.content))

    def no_truncation(self) -> None:
        """Switch off what the file says."""
        self.inner.truncation = None

    def no_padding(self) -> None:
        """Switch off what the file says."""
        self.inner.padding = None


def read_tokenizer(content: bytes) -> Tokenizer:
    """Open a tokenizer.json.

    Raises:
        Exception: The library cannot read it; it raises bare Exceptions.
    """
    from tokenizers import Tokenizer

    if hasattr(Tokenizer, "from_buffer"):
        return Tokenizer.from_buffer(content)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.json"
        file.write_bytes(content)
        inner = Tokenizer.from_file(file)
    read = json.loads(content)
    added = {token["content"]: token["id"] for token in read.get("added_tokens") or []}
    ids = {**_model_ids(read), **added}
    written = json.dumps(_with_scores(_in_todays_form(read), inner))
    return cast("Any", EncodingOnly(inner, written, ids))


def need_makers(purpose: str) -> None:
    """Make sure that the library can make tokenizers, which its version 1.0 cannot yet.

    Raises:
        MissingDependencyError: It can only open them.
    """
    import tokenizers

    if not hasattr(tokenizers, "AddedToken"):
        version = importlib.metadata.version("tokenizers")
        raise MissingDependencyError(
            f"{purpose} needs an earlier version of tokenizers than {version}, which encodes only: "
            'pip install "tokenizers<1"'
        )


def _model_ids(content: dict[str, Any]) -> dict[str, int]:
    """Return token -> id of the model's own vocabulary."""
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return vocabulary
    return {token: number for number, (token, _) in enumerate(vocabulary)}


def _in_todays_form(content: dict[str, Any]) -> dict[str, Any]:
    """Write out what old files left to be guessed; earlier versions did so in `to_str`."""
    model = content["model"]
    if "type" not in model:
        kinds = {"merges": "BPE", "unk_id": "Unigram", "max_input_chars_per_word": "WordPiece"}
        kind = next((kind for name, kind in kinds.items() if name in model), None)
        model = model if kind is None else {"type": kind, **model}
    splitter = _with_schemes(content.get("pre_tokenizer"))
    return {**content, "model": model, "pre_tokenizer": splitter}


def _with_scores(content: dict[str, Any], inner: Any) -> dict[str, Any]:
    """Take the scores of a Unigram model from the library, which rounds those of the file.

    It reads decimal digits with an error in the last bit, which decides between equal splits. What
    it would be pickled as holds the numbers that it computes with.
    """
    model = content["model"]
    if model.get("type") != "Unigram":
        return content
    _, (pickled, *_) = inner.__reduce__()
    return {**content, "model": {**model, "vocab": json.loads(pickled)["model"]["vocab"]}}


def _with_schemes(splitter: dict[str, Any] | None) -> dict[str, Any] | None:
    """Say by today's name where a pre-tokenizer puts a space in front."""
    if splitter is None:
        return None
    if "pretokenizers" in splitter:
        parts = [_with_schemes(part) for part in splitter["pretokenizers"]]
        return {**splitter, "pretokenizers": parts}
    if splitter.get("type") == "Metaspace" and "prepend_scheme" not in splitter:
        scheme = "always" if splitter.get("add_prefix_space", True) else "never"
        return {**splitter, "prepend_scheme": scheme}
    return splitter
