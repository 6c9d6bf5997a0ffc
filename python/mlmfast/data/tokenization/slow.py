"""Tokenizers that exist in Python alone, seen as those of the `tokenizers` library are."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ids:
    """The ids of one text."""

    ids: list[int]

    def __len__(self) -> int:
        """How many ids there are."""
        return len(self.ids)


@dataclass(frozen=True)
class SlowTokenizer:
    """A `PreTrainedTokenizer` of transformers, with the methods of `tokenizers` that we use."""

    inner: Any

    def encode(self, text: str, *, add_special_tokens: bool = True) -> Ids:
        """Return the ids of one text."""
        # Longer texts than the model takes are no news here: they are cut into blocks later.
        found = self.inner(text, add_special_tokens=add_special_tokens, verbose=False)
        return Ids(found["input_ids"])

    def encode_batch_fast(self, texts: list[str], *, add_special_tokens: bool = True) -> list[Ids]:
        """Return the ids of several texts, one after the other: Python holds its lock for each."""
        return [self.encode(text, add_special_tokens=add_special_tokens) for text in texts]

    def token_to_id(self, token: str) -> int | None:
        """Return a token's id."""
        return self.get_vocab().get(token)

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        """Return token -> id."""
        return self.inner.get_vocab() if with_added_tokens else dict(self.inner.vocab)

    def no_truncation(self) -> None:
        """Nothing is cut unless it is asked for."""

    def no_padding(self) -> None:
        """Nothing is padded unless it is asked for."""


def files_of(tokenizer: Any) -> dict[str, bytes]:
    """Return file name -> content of all that `tokenizer` saves."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = sorted(path for path in Path(folder).iterdir() if path.is_file())
        return {path.name: path.read_bytes() for path in files}


def is_in_python(tokenizer: Any) -> bool:
    """Whether a tokenizer of transformers, or a part of it, has no form that a file can hold."""
    if not getattr(tokenizer, "is_fast", False):
        return True
    try:
        tokenizer.backend_tokenizer.to_str()
    except Exception:  # noqa: BLE001 - bare; RoFormer's splitter is a Python object
        return True
    return False


@cache
def say_slow(name: str, kind: str) -> None:
    """Warn, once, that a tokenizer is written in Python."""
    logger.warning(
        "The tokenizer %r is written in Python (%s) and has no fast version: encoding with it is "
        "slow, and a model trained with it cannot be served by `mlmfast fill-mask`, which needs a "
        "tokenizer.json.",
        name,
        kind,
    )
