"""A loaded tokenizer with the facts that masked language modelling needs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.tokenizers_compat import split_special_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

# Files that may make up a tokenizer's folder; they are copied into stores and checkpoints.
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
    """A tokenizer with the facts that masked language modelling needs."""

    name: str
    """As the user gave it: a folder, a file or a Hub name."""
    tokenizer: Tokenizer = field(repr=False)
    """Truncation and padding are disabled, whatever the file says. A `LazyTokenizer` if the cache
    knows the files, a `SlowTokenizer` if there is no tokenizer.json; both offer the methods of
    `Tokenizer` that mlmfast uses."""
    files: dict[str, bytes] = field(repr=False)
    """File name -> content. Written into a folder, AutoTokenizer can open them."""
    tokens: dict[str, str]
    """Role (`mask_token`, `pad_token` ...) -> token; roles without a token are absent."""
    vocab_size: int
    """Number of tokens, including added ones: transformers' `len(tokenizer)`."""
    id_bound: int
    """The largest id plus one; larger than `vocab_size` only if the ids have gaps."""
    special_ids: tuple[int, ...]
    """Ids that are never masked, ascending: transformers' `all_special_ids`."""
    mask_token_id: int | None
    pad_token_id: int | None
    model_max_length: int | None
    """The model's maximum number of tokens, if the tokenizer's files name it."""

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of tokenizer.json, or of all files if there is none."""
        if "tokenizer.json" in self.files:
            return hashlib.sha256(self.files["tokenizer.json"]).hexdigest()
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    @property
    def splits_special_tokens(self) -> bool:
        """Whether special tokens in a text are encoded as ordinary text."""
        return bool(getattr(self.tokenizer, "encode_special_tokens", False))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle; the library's own state omits `encode_special_tokens`."""
        return {**vars(self), "splits": self.splits_special_tokens}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state, including `encode_special_tokens`."""
        splits = state.pop("splits")
        vars(self).update(state)
        if splits:
            split_special_tokens(self.tokenizer)

    def with_max_length(self, tokens: int) -> LoadedTokenizer:
        """Return this tokenizer for a model that takes `tokens`, if its files name a maximum."""
        file = "tokenizer_config.json"
        if self.model_max_length in (None, tokens) or file not in self.files:
            return self
        config = json.loads(self.files[file])
        files = {**self.files, file: as_json({**config, "model_max_length": tokens})}
        return replace(self, files=files, model_max_length=tokens)

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into `folder`, which exists."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def id_dtype(id_bound: int) -> np.dtype:
    """Return the dtype that stores ids below `id_bound`: uint16 if possible, else uint32."""
    return np.dtype(np.uint16 if id_bound <= 1 << 16 else np.uint32)


def describe(
    name: str,
    tokenizer: Tokenizer,
    files: dict[str, bytes],
    roles: dict[str, str],
    extra: list[str],
    max_length: Any,
) -> LoadedTokenizer:
    """Build the `LoadedTokenizer` of a tokenizer.

    Args:
        name: The tokenizer's name in messages.
        tokenizer: Truncation and padding are disabled.
        files: File name -> content.
        roles: Role -> token.
        extra: Further special tokens.
        max_length: The model's maximum number of tokens, if known.

    Raises:
        InputError: The vocabulary is empty.
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
        # transformers writes 1e30 if the maximum is unknown.
        model_max_length=int(max_length) if max_length and max_length < 1 << 31 else None,
    )


def as_json(content: dict[str, Any]) -> bytes:
    """Return the content of a tokenizer's JSON file."""
    return (json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()
