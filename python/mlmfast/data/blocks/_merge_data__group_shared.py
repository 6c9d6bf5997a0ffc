"""The common case of grouping, in which no token moves: blocks over the column's own memory.

One chunk whose rows lie side by side is the concatenation already. The work is then a handful of
pyarrow's calls, of which none looks at a token or at the rows in between; through the core, the
hand-over alone would cost several times as much.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from mlmfast.data.blocks.options import GroupOptions

# The rows of these lie side by side by their very layout.
_SIDE_BY_SIDE = (pa.LargeListArray, pa.ListArray)
# By their numbers: to hash a type takes longer than to cut a column.
_INTEGERS = frozenset(
    kind.id
    for sign in ("int", "uint")
    for kind in (getattr(pa, f"{sign}{bits}")() for bits in (8, 16, 32, 64))
)


def share_columns(columns: dict[str, Any], options: GroupOptions) -> tuple[dict[str, Any], int]:
    """Cut columns into blocks without copying.

    Args:
        columns: Name -> pyarrow Array or ChunkedArray of lists.
        options: How to group.

    Returns:
        Name -> `FixedSizeList[block_size]`, and the tokens of all rows. There are no columns where
        something has to be moved, converted or looked into (and where the data is at fault): the
        core does that then, and names faults.
    """
    nothing: tuple[dict[str, Any], int] = {}, 0
    if not options.cuts_alone:
        return nothing
    size, total = int(options.block_size), -1
    blocks: dict[str, Any] = {}
    for name, column in columns.items():
        found = _stretch(column)
        if found is None:
            return nothing
        values, start, tokens = found
        length = tokens // size * size
        if total not in (-1, tokens) or not length:
            return nothing
        total = tokens
        blocks[name] = pa.FixedSizeListArray.from_arrays(values.slice(start, length), size)
    return blocks, total


def _stretch(column: Any) -> tuple[pa.Array, int, int] | None:
    """The tokens of a column as one stretch: (values, start, length); None where they are none."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks != 1:
            return None
        column = column.chunk(0)
    if type(column) not in _SIDE_BY_SIDE or column.null_count or not len(column):
        return None
    values = column.values
    if values.type.id not in _INTEGERS or values.null_count:
        return None
    offsets = column.offsets
    start, stop = offsets[0].as_py(), offsets[-1].as_py()
    # Offsets that are damaged are the core's to complain of.
    return (values, start, stop - start) if 0 <= start <= stop <= len(values) else None
