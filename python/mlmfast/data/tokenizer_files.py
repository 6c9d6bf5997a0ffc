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
from mlmfast.data.reference_tokenizer import (
    changes_of,
    open_files,
    open_folder,
    say_differences,
)
from mlmfast.data.slow_tokenizer import SlowTokenizer, files_of, say_slow
from mlmfast.data.special_tokens import ROLES, config_for, named_tokens, same_added_tokens
from mlmfast.data.word_list import fast_form
from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.library_reader import read_tokenizer, split_special_tokens
from mlmfast.paths import as_path
from mlmfast.tokenizer_rules import GENERIC, class_name, pinned, read_by_class

if TYPE_CHECKING:
    from collections.abc import Iterable

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
# The model's own; it names the tokenizer's class where tokenizer_config.json does not.
_MODEL_CONFIG = "config.json"
_KEYS_OF_MODEL = ("model_type", "tokenizer_class")


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
        files = {"tokenizer.json": source.to_str().encode()}
        if source.encode_special_tokens:  # the only thing that its file does not say
            files["tokenizer_config.json"] = as_json({"split_special_tokens": True})
        return from_files(type(source).__name__, files)
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
    files = _files_in(folder)
    if "tokenizer.json" in files:
        return from_files(name, files)
    if not files.keys() - {_MODEL_CONFIG}:
        raise InputError(
            f"{name!r} holds no tokenizer: none of {', '.join(FILE_NAMES[:4])} ... is in it."
        )
    return _of_transformers(name, open_folder(name, folder))


def _files_in(folder: Path) -> dict[str, bytes]:
    there = [folder / name for name in (*FILE_NAMES, _MODEL_CONFIG)]
    return {file.name: file.read_bytes() for file in there if file.is_file()}


def _neighbours(path: Path) -> dict[str, bytes]:
    """Return the files of the tokenizer that `path`, a `tokenizer.json`, belongs to."""
    if path.name != "tokenizer.json":
        return {"tokenizer.json": path.read_bytes()}
    return _files_in(path.parent)


def from_files(name: str, files: dict[str, bytes]) -> LoadedTokenizer:
    """Load a tokenizer from the content of its files, tokenizer.json among them.

    The ids are AutoTokenizer's: where transformers is installed it is asked what the tokenizer's
    class makes of the files, once for each version; elsewhere the rules of its classes are applied.

    Args:
        name: what it is called in messages.
        files: file name -> content; the model's config.json may be one of them.

    Raises:
        InputError: it cannot be read.
        MissingDependencyError: transformers would have to convert it, and is not installed.
    """
    model_config = {
        key: value
        for key, value in _read_json(name, files, _MODEL_CONFIG).items()
        if key in _KEYS_OF_MODEL
    }
    files = {file: content for file, content in files.items() if file != _MODEL_CONFIG}
    asked = {**files, **({_MODEL_CONFIG: as_json(model_config)} if model_config else {})}
    known = recall(asked)
    if known is not None:
        tokenizer, facts = known
        return LoadedTokenizer(
            name=name,
            tokenizer=cast("Any", tokenizer),
            files={**files, "tokenizer_config.json": facts.pop("config").encode()},
            **{**facts, "special_ids": tuple(facts["special_ids"])},
        )
    config = _read_json(name, files, "tokenizer_config.json")
    content = _read_json(name, files, "tokenizer.json")
    reading = read_by_class(content, config, model_config)
    reader = class_name(config, model_config)
    same_tokens = same_added_tokens(content, config)
    costly = (reader is not None and reader not in GENERIC) or bool(reading.differences)
    if costly or not same_tokens:
        opened = _as_reference(name, asked, needed=not same_tokens)
        if opened is not None:
            return _compared(name, asked, files, opened)
    if reading.differences:
        say_differences(name, str(reader), reading.differences)
        files = {**files, "tokenizer.json": as_json(reading.content)}
    read = _read(name, files["tokenizer.json"], split=reading.split_special_tokens)
    roles, extra = named_tokens(content, config, _read_json(name, files, "special_tokens_map.json"))
    if any(read.token_to_id(token) is None for token in [*roles.values(), *extra]):
        return _of_transformers(name, open_files(name, asked))
    loaded = _describe(
        name, read, _with_config(files, roles), roles, extra, config.get("model_max_length")
    )
    _keep(asked, loaded, extra)
    return loaded


def _as_reference(name: str, files: dict[str, bytes], *, needed: bool) -> Any:
    """Return the tokenizer that AutoTokenizer makes of the files; None if it makes none."""
    try:
        return open_files(name, files)
    except MissingDependencyError:
        if needed:
            raise
    except InputError as error:
        logger.warning("%s The tokenizer is read by its tokenizer.json.", error)
    return None


def _compared(
    name: str, asked: dict[str, bytes], files: dict[str, bytes], opened: Any
) -> LoadedTokenizer:
    """Load a tokenizer that AutoTokenizer has opened, with its own files where they suffice."""
    if not getattr(opened, "is_fast", False):
        return _from_slow(name, opened)
    read = _read(name, files["tokenizer.json"], split=opened.split_special_tokens)
    changes = changes_of(opened, read)
    if changes:
        say_differences(name, type(opened).__name__, tuple(changes))
        return replace(_from_transformers(name, opened), name=name)
    roles, extra = _roles_of(opened)
    loaded = _describe(
        name, read, _with_config(files, roles), roles, extra, opened.model_max_length
    )
    _keep(asked, loaded, extra, costly=True)
    return loaded


def _read(name: str, content: bytes, *, split: bool) -> Tokenizer:
    try:
        tokenizer = read_tokenizer(content)
    except Exception as error:  # the library raises bare Exceptions
        raise InputError(
            f"The tokenizer.json of {name!r} cannot be read by tokenizers: {error}."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if split:
        split_special_tokens(tokenizer)
    return tokenizer


def _keep(
    asked: dict[str, bytes], loaded: LoadedTokenizer, extra: Iterable[str], *, costly: bool = False
) -> None:
    ids = {token: loaded.tokenizer.token_to_id(token) for token in [*loaded.tokens.values(), *extra]}
    facts = {key: value for key, value in vars(loaded).items() if key not in _NO_FACTS}
    facts["config"] = loaded.files["tokenizer_config.json"].decode()
    keep(asked, loaded.tokenizer, ids, facts, costly=costly)


# What of a loaded tokenizer is not kept: it is at hand.
_NO_FACTS = ("name", "tokenizer", "files")


def _with_config(files: dict[str, bytes], roles: dict[str, str]) -> dict[str, bytes]:
    """Return `files` with a tokenizer_config.json by which every class reads them alike."""
    content = json.loads(files["tokenizer.json"])
    file = "tokenizer_config.json"
    config = json.loads(files[file]) if file in files else {}
    if config.keys() <= {"split_special_tokens"}:
        config = {**config_for(roles), **config}
    fixed = pinned(content, config)
    if file in files and fixed == json.loads(files[file]):
        return files
    return {**files, file: as_json(fixed)}


def _describe(
    name: str,
    tokenizer: Tokenizer,
    files: dict[str, bytes],
    roles: dict[str, str],
    extra: list[str],
    longest: Any,
) -> LoadedTokenizer:
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


def _of_transformers(name: str, tokenizer: Any) -> LoadedTokenizer:
    if not getattr(tokenizer, "is_fast", False):
        return _from_slow(name, tokenizer)
    return replace(_from_transformers(name, tokenizer), name=name)


def _from_transformers(name: str, tokenizer: Any) -> LoadedTokenizer:
    files = {file: content for file, content in files_of(tokenizer).items() if file in FILE_NAMES}
    split = tokenizer.backend_tokenizer.encode_special_tokens
    config = json.loads(files["tokenizer_config.json"])
    if split != bool(config.get("split_special_tokens")):
        files["tokenizer_config.json"] = as_json({**config, "split_special_tokens": split})
    roles, extra = _roles_of(tokenizer)
    backend = _read(name, files["tokenizer.json"], split=split)
    whole = _with_config(files, roles)
    return _describe(name, backend, whole, roles, extra, tokenizer.model_max_length)


def _from_slow(name: str, tokenizer: Any) -> LoadedTokenizer:
    fast = fast_form(tokenizer)
    if fast is not None:
        return replace(_from_transformers(name, fast), name=name)
    say_slow(name, type(tokenizer).__name__)
    roles, extra = _roles_of(tokenizer)
    slow = cast("Any", SlowTokenizer(tokenizer))
    return _describe(name, slow, files_of(tokenizer), roles, extra, tokenizer.model_max_length)


def _roles_of(tokenizer: Any) -> tuple[dict[str, str], list[str]]:
    """Return role -> token of a tokenizer of transformers, and its other special tokens."""
    roles = {
        role: str(getattr(tokenizer, role))
        for role in ROLES
        if getattr(tokenizer, role, None) is not None
    }
    return roles, [token for token in tokenizer.all_special_tokens if token not in roles.values()]


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
