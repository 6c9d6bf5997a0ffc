"""The kinds of texts that callers pass: a string, a list, a column, a data set, an iterator."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from mlmfast.errors import InputError

_SCALARS = (str, bytes, bytearray, memoryview, Mapping, AbstractSet)


def is_lazy(texts: Any) -> bool:
    """Whether texts are read one by one while earlier ones are answered.

    That holds for iterators (generators, files, `map` ...), data sets of torch (transformers'
    `KeyDataset`) and iterables without a length (a column of a `datasets.IterableDataset`).
    """
    if isinstance(texts, _SCALARS):
        return False
    unsized = isinstance(texts, Iterable) and not hasattr(texts, "__len__")
    return isinstance(texts, Iterator) or _is_torch_dataset(texts) or unsized


def iterate_texts(texts: Any) -> Iterator[Any]:
    """Return an iterator over the texts of anything that holds several."""
    _refuse_tables(texts)
    if _is_torch_dataset(texts) and not hasattr(texts, "__iter__"):
        return (texts[number] for number in range(len(texts)))
    return iter(texts)


def as_list(texts: Any) -> tuple[bool, Sequence[Any]]:
    """Return whether `texts` is a single text (or should be one), and the texts as a list."""
    if isinstance(texts, list | tuple):
        return False, texts
    _refuse_tables(texts)
    if hasattr(texts, "to_pylist"):  # pyarrow, whose elements are scalars of its own
        return False, texts.to_pylist()
    several = is_lazy(texts) or (
        not isinstance(texts, _SCALARS)
        and hasattr(texts, "__len__")
        and hasattr(texts, "__iter__")
        and getattr(texts, "ndim", 1) > 0
    )
    return (False, list(iterate_texts(texts))) if several else (True, [texts])


def _refuse_tables(texts: Any) -> None:
    """Refuse a table, whose rows are no texts.

    Raises:
        InputError: `texts` is a table; the message names a column.
    """
    names = getattr(texts, "column_names", None) or getattr(texts, "columns", None)
    if names is not None and not isinstance(texts, _SCALARS) and not callable(names):
        example = next((name for name in names if isinstance(name, str)), "text")
        raise InputError(
            f"{type(texts).__name__} is a table: give the column that holds the texts, as "
            f"table[{example!r}]."
        )


def _is_torch_dataset(texts: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(texts, torch.utils.data.Dataset)
