"""The token ids that a configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.torch_models import text_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENDINGS = ("_token_id", "_token_ids", "_token_index")
# XLM and FlauBERT have names of their own.
_NAMES = ("bos_index", "eos_index", "pad_index", "unk_index", "mask_index")


def ids_of(config: Any) -> set[int]:
    """Return every token id that a configuration names, its part about text included."""
    found: set[int] = set()
    for _, _, value in _fields(config):
        found |= {value} if isinstance(value, int) else set(value)
    return found


def replace_ids(config: Any, new_id: Callable[[str, int], int | None]) -> None:
    """Replace the token ids of a configuration, which is changed in place.

    Args:
        config: a configuration of transformers, of a model or of its generation.
        new_id: from the name of a field and an id in it to the new id; None where there is none.
    """
    for owner, name, value in list(_fields(config)):
        if isinstance(value, int):
            setattr(owner, name, new_id(name, value))
        else:
            mapped = [new_id(name, one) for one in value]
            setattr(owner, name, [one for one in mapped if one is not None])


def set_vocab_size(config: Any, size: int) -> None:
    """Set the size of the vocabulary in a configuration, and in its part about text."""
    for owner in _owners(config):
        if hasattr(owner, "vocab_size"):
            owner.vocab_size = size


def _owners(config: Any) -> list[Any]:
    inner = text_config(config)
    return [config] if inner is config else [config, inner]


def _fields(config: Any) -> Iterator[tuple[Any, str, int | list[int]]]:
    for owner in _owners(config):
        for name, value in vars(owner).items():
            if (name.endswith(_ENDINGS) or name in _NAMES) and _holds_ids(value):
                yield owner, name, value


def _holds_ids(value: Any) -> bool:
    """Whether a value is an id, or a list of ids."""
    if isinstance(value, list):
        return bool(value) and all(map(_holds_ids, value))
    return isinstance(value, int) and not isinstance(value, bool)
