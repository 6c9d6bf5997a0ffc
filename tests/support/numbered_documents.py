"""Preparing documents that are a number and a word, and reading the numbers back."""

from __future__ import annotations

from typing import Any

from corpus import tiny_tokenizer
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.report import PrepareReport
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.store.store import BlockStore
from mlmfast.data.tokenization.load import load_tokenizer


def prepare_numbered(inputs: Any, out: Any, **options: Any) -> PrepareReport:
    """Prepare texts such as "7 fox" in blocks of four tokens, without special tokens."""
    options = {"tokenizer": tiny_tokenizer(), "block_size": 4, "remainder": "pad", **options}
    return run_prepare(inputs, out, PrepareOptions(special_tokens="none", **options))


def numbers_of(store: BlockStore) -> list[int]:
    """Return the numbers of the documents in a store, in their order."""
    decoded = load_tokenizer(tiny_tokenizer()).tokenizer.decode(store[:].ravel().tolist())
    return [int(number) for number in decoded.split(" fox")[:-1]]
