"""Loaded tokenizers in the user's cache folder: AutoTokenizer takes seconds to open their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mlmfast.data.tokenization.ids_around import ids_around
from mlmfast.data.tokenization.lazy import read_cached, write_cached
from mlmfast.data.tokenization.loaded import LoadedTokenizer
from mlmfast.errors import is_panic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer

_CONFIG = "tokenizer_config.json"
# Fields of LoadedTokenizer that are not cached: the caller has them.
_NOT_CACHED = ("name", "tokenizer", "files")


def from_cache(
    name: str, all_files: dict[str, bytes], files: dict[str, bytes] | None = None
) -> LoadedTokenizer | None:
    """Return the tokenizer that is cached for `all_files`; None if there is none.

    Args:
        name: The tokenizer's name in messages.
        all_files: File name -> content, the key of the cache.
        files: Those that the tokenizer keeps; None where it was converted, and they are cached too.
    """
    cached = read_cached(all_files)
    if cached is None:
        return None
    tokenizer, facts = cached
    converted = facts.pop("files", {})
    return LoadedTokenizer(
        name=name,
        tokenizer=cast("Tokenizer", tokenizer),
        files={
            **(converted if files is None else files),
            _CONFIG: facts.pop("config").encode(),
        },
        **{**facts, "special_ids": tuple(facts["special_ids"])},
    )


def write_to_cache(
    all_files: dict[str, bytes],
    loaded: LoadedTokenizer,
    extra: Iterable[str],
    *,
    slow_to_open: bool = False,
    converted: bool = False,
) -> None:
    """Cache a tokenizer.

    Args:
        all_files: File name -> content of all that it was made of: the key of the cache.
        loaded: The tokenizer.
        extra: Its special tokens without a role.
        slow_to_open: Cache a small one too.
        converted: Cache its files too, which are not among `all_files`.
    """
    try:
        around = ids_around(loaded.tokenizer)
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        return  # what cannot encode is not worth a cache
    facts = {key: value for key, value in vars(loaded).items() if key not in _NOT_CACHED}
    facts["config"] = loaded.files[_CONFIG].decode()
    facts["ids_around"] = around
    facts["ids"] = {
        token: loaded.tokenizer.token_to_id(token) for token in [*loaded.tokens.values(), *extra]
    }
    own = loaded.files if converted else None
    write_cached(all_files, loaded.tokenizer, facts, converted=own, slow_to_open=slow_to_open)
