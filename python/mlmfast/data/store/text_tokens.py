"""How many tokens of a block store are its text's own."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mlmfast.data.tokenization.load import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore


def text_tokens(store: BlockStore) -> int:
    """Count the tokens that the tokenizer made of a store's text.

    Padding, and the special tokens that `special_tokens` put around documents or blocks, are no
    text. What was cut off or dropped is: the manifest's `text_bytes` counts it as well.
    """
    manifest = store.manifest
    tokens = manifest.tokens - manifest.padding_tokens + manifest.dropped_tokens
    if manifest.special_tokens == "document":
        around = _tokens_around(store.path, manifest.tokenizer_sha256)
        return tokens - manifest.documents * around
    # A block begins with [CLS] and ends with [SEP]; dropped tokens were in none.
    return tokens - (2 * manifest.blocks if manifest.special_tokens == "block" else 0)


@lru_cache
def _tokens_around(folder: Path, _tokenizer_sha256: str) -> int:
    """How many special tokens the tokenizer puts around a text; a large one is slow to open."""
    tokenizer = load_tokenizer(folder).tokenizer
    plain, wrapped = (
        len(tokenizer.encode("a", add_special_tokens=special).ids) for special in (False, True)
    )
    return wrapped - plain
