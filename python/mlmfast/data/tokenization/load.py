"""Loading a tokenizer from a folder, a file, the Hugging Face Hub or an object."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlmfast.data.tokenization.cached import from_cache, write_to_cache
from mlmfast.data.tokenization.loaded import (
    FILE_NAMES,
    LoadedTokenizer,
    as_json,
    describe,
    id_dtype,
)
from mlmfast.data.tokenization.python_classes.slow import (
    SlowTokenizer,
    files_of,
    is_in_python,
    warn_slow,
)
from mlmfast.data.tokenization.python_classes.word_list import fast_form
from mlmfast.data.tokenization.reference import (
    changes_of,
    open_files,
    open_folder,
    warn_differences,
)
from mlmfast.data.tokenization.special_tokens import (
    ROLES,
    config_for,
    named_tokens,
    same_added_tokens,
)
from mlmfast.errors import InputError, MissingDependencyError, NotFoundError
from mlmfast.fs.paths import as_path
from mlmfast.tokenizer_rules import GENERIC, class_name, pinned, read_by_class
from mlmfast.tokenizers_compat import read_tokenizer, split_special_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer


def download(name: str, files: Iterable[str]) -> Path:
    """Download a tokenizer from the Hugging Face Hub and return its folder.

    Raises:
        NotFoundError: The tokenizer does not exist, or the Hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    missing = f"No tokenizer {name!r}: there is no such file or folder, and "
    try:
        return Path(snapshot_download(name, allow_patterns=[*files, "config.json"]))
    except HFValidationError as error:
        raise NotFoundError(f"{missing}it is no name of the Hugging Face Hub either.") from error
    except RepositoryNotFoundError as error:
        raise NotFoundError(
            f"{missing}the Hugging Face Hub has no such model (or it is private: log in with "
            "`hf auth login`)."
        ) from error
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"{missing}the Hugging Face Hub, where it may be, cannot be reached from here, nor is "
            "it in the local cache. Give the folder of a tokenizer, or train one with "
            "`mlmfast train-tokenizer`."
        ) from error


__all__ = ["FILE_NAMES", "LoadedTokenizer", "as_json", "from_files", "id_dtype", "load_tokenizer"]

logger = logging.getLogger(__name__)

# The model's config; it names the tokenizer's class where tokenizer_config.json does not. By the
# version transformers 4.57 knows vocabularies above 100,000 tokens that are not an early Mistral's.
_MODEL_CONFIG = "config.json"
_KEYS_OF_MODEL = ("model_type", "tokenizer_class", "transformers_version")


def load_tokenizer(source: Any) -> LoadedTokenizer:
    """Load a tokenizer from a path, a Hub name or a tokenizer object.

    Args:
        source: A folder, a `tokenizer.json`, the name of a model on the Hugging Face Hub, a
            `tokenizers.Tokenizer`, a fast tokenizer of transformers, or a `LoadedTokenizer`.

    Raises:
        NotFoundError: There is neither such a folder nor a reachable Hub model of that name.
        InputError: The tokenizer exists, but cannot be used.
        MissingDependencyError: The tokenizer has no tokenizer.json, and transformers, which could
            convert it, is not installed.
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
        if source.encode_special_tokens:  # the one setting that tokenizer.json does not hold
            files["tokenizer_config.json"] = as_json({"split_special_tokens": True})
        return from_files(type(source).__name__, files)
    if hasattr(source, "backend_tokenizer") and not is_in_python(source):
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


def _from_folder(name: str, folder: Path) -> LoadedTokenizer:
    files = _files_in(folder)
    if "tokenizer.json" in files:
        return from_files(name, files)
    if not files.keys() - {_MODEL_CONFIG}:
        raise InputError(
            f"{name!r} holds no tokenizer: none of {', '.join(FILE_NAMES[:4])} ... is in it."
        )
    cached = from_cache(name, files)
    if cached is not None:
        return cached
    opened = open_folder(name, folder)
    loaded = _from_any_transformers(name, opened)
    if not isinstance(loaded.tokenizer, SlowTokenizer) and _is_made_of(opened, files):
        write_to_cache(files, loaded, _roles_of(opened)[1], slow_to_open=True, converted=True)
    return loaded


def _is_made_of(tokenizer: Any, files: dict[str, bytes]) -> bool:
    """Whether AutoTokenizer made `tokenizer` of `files` alone, whatever else is in their folder."""
    classes = [type(tokenizer), getattr(type(tokenizer), "slow_tokenizer_class", None)]
    read = {file for each in classes if each for file in each.vocab_files_names.values()}
    return read <= {*FILE_NAMES} and bool(read & files.keys())


def _files_in(folder: Path) -> dict[str, bytes]:
    paths = [folder / name for name in (*FILE_NAMES, _MODEL_CONFIG)]
    return {file.name: file.read_bytes() for file in paths if file.is_file()}


def _neighbours(path: Path) -> dict[str, bytes]:
    """Return the tokenizer files beside `path`, a `tokenizer.json`, and the file itself."""
    if path.name != "tokenizer.json":
        return {"tokenizer.json": path.read_bytes()}
    return _files_in(path.parent)


def from_files(name: str, files: dict[str, bytes]) -> LoadedTokenizer:
    """Load a tokenizer from the content of its files, which include tokenizer.json.

    The ids are those of AutoTokenizer. Where transformers is installed, AutoTokenizer opens the
    files once per version, to show what the tokenizer's class changes; elsewhere `tokenizer_rules`
    applies the rules of its classes.

    Args:
        name: The tokenizer's name in messages.
        files: File name -> content; the model's config.json may be included.

    Raises:
        InputError: The files cannot be read.
        MissingDependencyError: Only transformers could convert them, and it is not installed.
    """
    model_config = {
        key: value
        for key, value in _read_json(name, files, _MODEL_CONFIG).items()
        if key in _KEYS_OF_MODEL
    }
    files = {file: content for file, content in files.items() if file != _MODEL_CONFIG}
    all_files = {**files, **({_MODEL_CONFIG: as_json(model_config)} if model_config else {})}
    cached = from_cache(name, all_files, files)
    if cached is not None:
        return cached
    config = _read_json(name, files, "tokenizer_config.json")
    content = _read_json(name, files, "tokenizer.json")
    reading = read_by_class(content, config, model_config)
    class_ = class_name(config, model_config)
    tokens_agree = same_added_tokens(content, config)
    slow_to_open = (class_ is not None and class_ not in GENERIC) or bool(reading.differences)
    if slow_to_open or not tokens_agree:
        opened = _open_reference(name, all_files, needed=not tokens_agree)
        if opened is not None:
            return _from_reference(name, all_files, files, opened)
    if reading.differences:
        warn_differences(name, str(class_), reading.differences)
        files = {**files, "tokenizer.json": as_json(reading.content)}
    tokenizer = _read_fast(name, files["tokenizer.json"], split=reading.split_special_tokens)
    roles, extra = named_tokens(content, config, _read_json(name, files, "special_tokens_map.json"))
    if any(tokenizer.token_to_id(token) is None for token in [*roles.values(), *extra]):
        return _from_any_transformers(name, open_files(name, all_files))
    loaded = describe(
        name, tokenizer, _with_config(files, roles), roles, extra, config.get("model_max_length")
    )
    if not reading.differences:  # the cache opens the files as they are, and says nothing
        write_to_cache(all_files, loaded, extra)
    return loaded


def _open_reference(name: str, files: dict[str, bytes], *, needed: bool) -> Any:
    """Return the tokenizer that AutoTokenizer makes of the files; None if it makes none."""
    try:
        return open_files(name, files)
    except MissingDependencyError:
        if needed:
            raise
    except InputError as error:
        logger.warning("%s The tokenizer is read by its tokenizer.json.", error)
    return None


def _from_reference(
    name: str, all_files: dict[str, bytes], files: dict[str, bytes], opened: Any
) -> LoadedTokenizer:
    """Load a tokenizer that AutoTokenizer has opened; keep its files if they give the same ids."""
    if is_in_python(opened):
        return _from_slow(name, opened)
    tokenizer = _read_fast(name, files["tokenizer.json"], split=opened.split_special_tokens)
    changes = changes_of(opened, tokenizer)
    if changes:
        warn_differences(name, type(opened).__name__, tuple(changes))
        return replace(_from_transformers(name, opened), name=name)
    roles, extra = _roles_of(opened)
    loaded = describe(
        name, tokenizer, _with_config(files, roles), roles, extra, opened.model_max_length
    )
    write_to_cache(all_files, loaded, extra, slow_to_open=True)
    return loaded


def _read_fast(name: str, content: bytes, *, split: bool) -> Tokenizer:
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


def _with_config(files: dict[str, bytes], roles: dict[str, str]) -> dict[str, bytes]:
    """Return `files` with a tokenizer_config.json that gives the same ids with every class."""
    content = json.loads(files["tokenizer.json"])
    file = "tokenizer_config.json"
    config = json.loads(files[file]) if file in files else {}
    if config.keys() <= {"split_special_tokens"}:
        config = {**config_for(roles), **config}
    fixed = pinned(content, config)
    if file in files and fixed == json.loads(files[file]):
        return files
    return {**files, file: as_json(fixed)}


def _from_any_transformers(name: str, tokenizer: Any) -> LoadedTokenizer:
    if is_in_python(tokenizer):
        return _from_slow(name, tokenizer)
    return replace(_from_transformers(name, tokenizer), name=name)


def _from_transformers(name: str, tokenizer: Any) -> LoadedTokenizer:
    files = {file: content for file, content in files_of(tokenizer).items() if file in FILE_NAMES}
    split = tokenizer.backend_tokenizer.encode_special_tokens
    config = json.loads(files["tokenizer_config.json"])
    if split != bool(config.get("split_special_tokens")):
        files["tokenizer_config.json"] = as_json({**config, "split_special_tokens": split})
    roles, extra = _roles_of(tokenizer)
    backend = _read_fast(name, files["tokenizer.json"], split=split)
    whole = _with_config(files, roles)
    return describe(name, backend, whole, roles, extra, tokenizer.model_max_length)


def _from_slow(name: str, tokenizer: Any) -> LoadedTokenizer:
    fast = fast_form(tokenizer)
    if fast is not None:
        return replace(_from_transformers(name, fast), name=name)
    warn_slow(name, type(tokenizer).__name__)
    roles, extra = _roles_of(tokenizer)
    slow = cast("Any", SlowTokenizer(tokenizer))
    return describe(name, slow, files_of(tokenizer), roles, extra, tokenizer.model_max_length)


def _roles_of(tokenizer: Any) -> tuple[dict[str, str], list[str]]:
    """Return a transformers tokenizer's roles (role -> token) and its other special tokens."""
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
