"""How many tokens of a block store are text, rather than padding or special tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.data.store.joined import JoinedStore

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore


def text_tokens(store: BlockStore) -> int:
    """Count the tokens that the tokenizer made of a store's text.

    Padding and the special tokens around documents or blocks do not count as text. Tokens that were
    cut off or dropped do, since the manifest's `text_bytes` counts their text as well.
    """
    if isinstance(store, JoinedStore):  # each may have special tokens in other places
        return sum(map(text_tokens, store.stores))
    manifest = store.manifest
    tokens = manifest.tokens - manifest.padding_tokens + manifest.dropped_tokens
    if manifest.special_tokens == "document":
        return tokens - manifest.documents * _tokens_around_text(store)
    # A block begins with [CLS] and ends with [SEP]; dropped tokens were in no block.
    return tokens - (2 * manifest.blocks if manifest.special_tokens == "block" else 0)


def _tokens_around_text(store: BlockStore) -> int:
    """Count the special tokens that the tokenizer adds to a text."""
    tokenizer = store.tokenizer.tokenizer
    plain, wrapped = (
        len(tokenizer.encode("a", add_special_tokens=special).ids) for special in (False, True)
    )
    return wrapped - plain
