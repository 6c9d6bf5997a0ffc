"""Tokenizers without a fast version, behind the interface of the `tokenizers` library."""

from __future__ import annotations

import logging
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ids:
    """The ids of one text, as the `tokenizers` library returns them."""

    ids: list[int]

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.ids)


@dataclass(frozen=True)
class SlowTokenizer:
    """A `PreTrainedTokenizer` with the methods of the `tokenizers` library that mlmfast uses."""

    inner: Any

    def encode(self, text: str, *, add_special_tokens: bool = True) -> Ids:
        """Return the ids of one text."""
        # Not verbose: a text may be longer than the model allows, since blocks are cut later.
        encoding = self.inner(text, add_special_tokens=add_special_tokens, verbose=False)
        return Ids(encoding["input_ids"])

    def encode_batch_fast(self, texts: list[str], *, add_special_tokens: bool = True) -> list[Ids]:
        """Return the ids of several texts, one by one: threads do not speed up Python code."""
        return [self.encode(text, add_special_tokens=add_special_tokens) for text in texts]

    def token_to_id(self, token: str) -> int | None:
        """Return a token's id."""
        return self.get_vocab().get(token)

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        """Return token -> id."""
        return self.inner.get_vocab() if with_added_tokens else dict(self.inner.vocab)

    def no_truncation(self) -> None:
        """Do nothing: this tokenizer truncates only on request."""

    def no_padding(self) -> None:
        """Do nothing: this tokenizer pads only on request."""

    def __reduce__(self) -> tuple[Callable[[bytes], SlowTokenizer], tuple[bytes]]:
        """Pickle the tokenizer, which stays as it is."""
        with kept_splitter(self.inner):
            return _unpickled, (pickle.dumps(self.inner),)


def _unpickled(content: bytes) -> SlowTokenizer:
    return SlowTokenizer(pickle.loads(content))  # noqa: S301 - part of a pickle already


@contextmanager
def kept_splitter(tokenizer: Any) -> Iterator[None]:
    """Give a transformers tokenizer its splitter back, whatever the context does to it.

    RoFormer's, a Python object, puts another one in its place when it is saved or pickled.
    """
    backend = tokenizer.backend_tokenizer if getattr(tokenizer, "is_fast", False) else None
    splitter = backend and backend.pre_tokenizer
    try:
        yield
    finally:
        if backend is not None and splitter is not None:
            backend.pre_tokenizer = splitter


def files_of(tokenizer: Any) -> dict[str, bytes]:
    """Return the files that `tokenizer` saves: file name -> content."""
    with tempfile.TemporaryDirectory() as folder:
        with kept_splitter(tokenizer):
            tokenizer.save_pretrained(folder)
        files = sorted(path for path in Path(folder).iterdir() if path.is_file())
        return {path.name: path.read_bytes() for path in files}


def is_in_python(tokenizer: Any) -> bool:
    """Whether a transformers tokenizer, or a part of it, cannot be written as a tokenizer.json."""
    if not getattr(tokenizer, "is_fast", False):
        return True
    try:
        tokenizer.backend_tokenizer.to_str()
    except Exception:  # noqa: BLE001 - bare; RoFormer's splitter is a Python object
        return True
    return False


@cache
def warn_slow(name: str, kind: str) -> None:
    """Warn, once, that a tokenizer is written in Python."""
    logger.warning(
        "The tokenizer %r is written in Python (%s) and has no fast version: encoding with it is "
        "slow, and a model trained with it cannot be served by `mlmfast fill-mask`, which needs a "
        "tokenizer.json.",
        name,
        kind,
    )
