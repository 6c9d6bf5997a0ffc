"""A user's tokenizer: found, read, and ready to be copied beside what it made."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mlmfast.data.hub_tokenizer import download
from mlmfast.data.kept_tokenizer import keep, recall
from mlmfast.data.slow_tokenizer import SlowTokenizer, files_of
from mlmfast.data.special_tokens import ROLES, agrees_with_config, config_for, named_tokens
from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.library_reader import read_tokenizer
from mlmfast.paths import as_path

if TYPE_CHECKING:
    from tokenizers import Tokenizer

logger = logging.getLogger(__name__)

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
    may be a `LateTokenizer`. Without a tokenizer.json a `SlowTokenizer`. Both have the methods that
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

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into `folder`, which exists."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def load_tokenizer(source: Any) -> LoadedTokenizer:
    """Load a tokenizer from wherever the user has it.

    Args:
        source: A folder, a `tokenizer.json`, the name of a model on the Hugging Face Hub, a
            `tokenizers.Tokenizer`, a fast tokenizer of transformers, or a `LoadedTokenizer`.

    Raises:
        NotFoundError: No such folder, and no such name can be reached on the Hub.
        InputError: It is there, but it cannot be used.
        MissingDependencyError: It has no tokenizer.json, and transformers, which could convert
            it, is not installed.
    """
    from tokenizers import Tokenizer

    if isinstance(source, LoadedTokenizer):
        return source
    if isinstance(source, Tokenizer):
        if not hasattr(source, "to_str"):
            raise InputError(
                "A Tokenizer object of tokenizers 1.0 does not tell the file that it was read "
                "from: give the tokenizer's folder, or its tokenizer.json."
            )
        return from_files(type(source).__name__, {"tokenizer.json": source.to_str().encode()})
    if hasattr(source, "backend_tokenizer"):
        return _from_transformers(str(source.name_or_path or type(source).__name__), source)
    if hasattr(source, "all_special_ids"):
        return _from_slow(type(source).__name__, source)
    if not isinstance(source, str | Path):
        raise InputError(
            "tokenizer must be a folder, a tokenizer.json, a Hub name or a tokenizer object; "
            f"got {type(source).__name__}."
        )
    name = str(source)
    path = as_path(name, home=True)
    if path.is_file():
        return from_files(name, _neighbours(path))
    if path.is_dir():
        return _from_folder(name, path)
    return _from_folder(name, download(name, FILE_NAMES))


def id_dtype(id_bound: int) -> np.dtype:
    """Return the type that ids below `id_bound` are stored in: uint16 if it suffices, or uint32."""
    return np.dtype(np.uint16 if id_bound <= 1 << 16 else np.uint32)


def _from_folder(name: str, folder: Path) -> LoadedTokenizer:
    files = {
        known: (folder / known).read_bytes() for known in FILE_NAMES if (folder / known).is_file()
    }
    if "tokenizer.json" in files:
        return from_files(name, files)
    if not files:
        raise InputError(
            f"{name!r} holds no tokenizer: none of {', '.join(FILE_NAMES[:4])} ... is in it."
        )
    return _convert(name, folder)


def _neighbours(path: Path) -> dict[str, bytes]:
    """Return the files of the tokenizer that `path`, a `tokenizer.json`, belongs to."""
    if path.name != "tokenizer.json":
        return {"tokenizer.json": path.read_bytes()}
    there = [path.with_name(name) for name in FILE_NAMES]
    return {file.name: file.read_bytes() for file in there if file.is_file()}


def from_files(name: str, files: dict[str, bytes]) -> LoadedTokenizer:
    """Load a tokenizer from the content of its files, tokenizer.json among them.

    Raises:
        InputError: it cannot be read.
        MissingDependencyError: transformers would have to convert it, and is not installed.
    """
    known = recall(files)
    if known is not None:
        tokenizer, facts = known
        return LoadedTokenizer(
            name=name,
            tokenizer=cast("Any", tokenizer),
            files=_with_config(files, facts["tokens"]),
            **{**facts, "special_ids": tuple(facts["special_ids"])},
        )
    config = _read_json(name, files, "tokenizer_config.json")
    special_map = _read_json(name, files, "special_tokens_map.json")
    content = _read_json(name, files, "tokenizer.json")
    if not agrees_with_config(content, config):
        # transformers would change the tokenizer by what its config says; so must we.
        return _convert_content(name, files)
    try:
        tokenizer = read_tokenizer(files["tokenizer.json"])
    except Exception as error:  # the library raises bare Exceptions
        raise InputError(
            f"The tokenizer.json of {name!r} cannot be read by tokenizers: {error}."
        ) from error
    roles, extra = named_tokens(content, config, special_map)
    if any(tokenizer.token_to_id(token) is None for token in [*roles.values(), *extra]):
        return _convert_content(name, files)
    longest = config.get("model_max_length")
    whole = _with_config(files, roles)
    loaded = _describe(name, tokenizer, whole, roles, extra, longest)
    ids = {token: tokenizer.token_to_id(token) for token in [*roles.values(), *extra]}
    facts = {key: value for key, value in vars(loaded).items() if key not in _NO_FACTS}
    keep(files, tokenizer, ids, facts)
    return loaded


# What of a loaded tokenizer is not kept: it is at hand.
_NO_FACTS = ("name", "tokenizer", "files")


def _with_config(files: dict[str, bytes], roles: dict[str, str]) -> dict[str, bytes]:
    if "tokenizer_config.json" in files:
        return files
    return {**files, "tokenizer_config.json": as_json(config_for(roles))}


def _describe(
    name: str,
    tokenizer: Tokenizer,
    files: dict[str, bytes],
    roles: dict[str, str],
    extra: list[str],
    longest: Any,
) -> LoadedTokenizer:
    tokenizer.no_truncation()
    tokenizer.no_padding()
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


def _from_transformers(name: str, tokenizer: Any) -> LoadedTokenizer:
    files = {file: content for file, content in files_of(tokenizer).items() if file in FILE_NAMES}
    roles, extra = _roles_of(tokenizer)
    backend = read_tokenizer(files["tokenizer.json"])
    return _describe(name, backend, files, roles, extra, tokenizer.model_max_length)


def _from_slow(name: str, tokenizer: Any) -> LoadedTokenizer:
    logger.warning(
        "The tokenizer %r is written in Python (%s) and has no fast version: encoding with it is "
        "slow, and a model trained with it cannot be served by `mlmfast fill-mask`, which needs a "
        "tokenizer.json.",
        name,
        type(tokenizer).__name__,
    )
    roles, extra = _roles_of(tokenizer)
    return _describe(
        name,
        cast("Any", SlowTokenizer(tokenizer)),
        files_of(tokenizer),
        roles,
        extra,
        tokenizer.model_max_length,
    )


def _roles_of(tokenizer: Any) -> tuple[dict[str, str], list[str]]:
    """Return role -> token of a tokenizer of transformers, and its other special tokens."""
    roles = {
        role: str(getattr(tokenizer, role))
        for role in ROLES
        if getattr(tokenizer, role, None) is not None
    }
    return roles, [token for token in tokenizer.all_special_tokens if token not in roles.values()]


def _convert_content(name: str, files: dict[str, bytes]) -> LoadedTokenizer:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            (Path(folder) / file).write_bytes(content)
        return _convert(name, Path(folder))


def _convert(name: str, folder: Path) -> LoadedTokenizer:
    """Let transformers open what `tokenizers` alone cannot, or would open otherwise."""
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingDependencyError(
            f"The tokenizer {name!r} needs transformers to be opened: pip install 'mlmfast[train]'."
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:  # transformers raises whatever its parts raise
        raise InputError(
            f"The tokenizer {name!r} cannot be opened by transformers: {_first_line(error)}"
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        return _from_slow(name, tokenizer)
    return replace(_from_transformers(name, tokenizer), name=name)


def _read_json(name: str, files: dict[str, bytes], file: str) -> dict[str, Any]:
    try:
        content = json.loads(files.get(file, b"{}"))
    except ValueError as error:
        raise InputError(f"{file} of the tokenizer {name!r} is no JSON: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} of the tokenizer {name!r} must hold a JSON object.")
    return content


def as_json(content: dict[str, Any]) -> bytes:
    """Return the content of a tokenizer's JSON file."""
    return (json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
