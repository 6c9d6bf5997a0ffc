"""A tokenizer that is loaded, and what masked language modelling must know of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.tokenizers_compat import split_special_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

# What a tokenizer's folder may hold and what is copied into stores and checkpoints.
FILE_NAMES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer, and what masked language modelling must know of it."""

    name: str
    """As the user gave it: a folder, a file or a Hub name."""
    tokenizer: Tokenizer = field(repr=False)
    """With truncation and padding switched off, whatever its file says; one that was opened before
    may be a `LazyTokenizer`. Without a tokenizer.json a `SlowTokenizer`. Both have the methods that
    are needed."""
    files: dict[str, bytes] = field(repr=False)
    """File name -> content; in a folder they make a tokenizer that AutoTokenizer opens."""
    tokens: dict[str, str]
    """Role (`mask_token`, `pad_token` ...) -> the token's text; without a token: absent."""
    vocab_size: int
    """How many tokens there are, added ones included: transformers' `len(tokenizer)`."""
    id_bound: int
    """One more than the largest id; larger than `vocab_size` only where ids have gaps."""
    special_ids: tuple[int, ...]
    """Ids that are never masked, ascending: transformers' `all_special_ids`."""
    mask_token_id: int | None
    pad_token_id: int | None
    model_max_length: int | None
    """How many tokens the model takes, where the tokenizer's files say so."""

    @property
    def sha256(self) -> str:
        """Hash of tokenizer.json, or of all files where there is none, in hexadecimal digits."""
        if "tokenizer.json" in self.files:
            return hashlib.sha256(self.files["tokenizer.json"]).hexdigest()
        whole = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            whole.update(f"{name}\0{len(content)}\0".encode() + content)
        return whole.hexdigest()

    @property
    def splits_special_tokens(self) -> bool:
        """Whether special tokens in a text are text like any other."""
        return bool(getattr(self.tokenizer, "encode_special_tokens", False))

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds; the library's own leaves out one switch."""
        return {**vars(self), "splits": self.splits_special_tokens}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the switch again."""
        splits = state.pop("splits")
        vars(self).update(state)
        if splits:
            split_special_tokens(self.tokenizer)

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into `folder`, which exists."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def id_dtype(id_bound: int) -> np.dtype:
    """Return the type that ids below `id_bound` are stored in: uint16 if it suffices, or uint32."""
    return np.dtype(np.uint16 if id_bound <= 1 << 16 else np.uint32)


def describe(
    name: str,
    tokenizer: Tokenizer,
    files: dict[str, bytes],
    roles: dict[str, str],
    extra: list[str],
    longest: Any,
) -> LoadedTokenizer:
    """Gather what must be known of a tokenizer.

    Args:
        name: what it is called in messages.
        tokenizer: with truncation and padding switched off.
        files: file name -> content.
        roles: role -> token.
        extra: further special tokens.
        longest: how many tokens the model takes, if that is known.

    Raises:
        InputError: it has no vocabulary.
    """
    ids = tokenizer.get_vocab(with_added_tokens=True)
    if not ids:
        raise InputError(f"The tokenizer {name!r} has an empty vocabulary.")
    special = {tokenizer.token_to_id(token) for token in [*roles.values(), *extra]}
    mask, pad = roles.get("mask_token"), roles.get("pad_token")
    return LoadedTokenizer(
        name=name,
        tokenizer=tokenizer,
        files=files,
        tokens=roles,
        vocab_size=len(ids),
        id_bound=max(ids.values()) + 1,
        special_ids=tuple(sorted(special)),
        mask_token_id=None if mask is None else tokenizer.token_to_id(mask),
        pad_token_id=None if pad is None else tokenizer.token_to_id(pad),
        # transformers writes 1e30 where nothing is known.
        model_max_length=int(longest) if longest and longest < 1 << 31 else None,
    )


def as_json(content: dict[str, Any]) -> bytes:
    """Return the content of a tokenizer's JSON file."""
    return (json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()
