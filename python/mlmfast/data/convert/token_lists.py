"""The token lists of other tools, as `convert` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class TokenLists:
    """The token lists of one split."""

    name: str
    """Their path, for messages."""
    kind: pa.DataType
    """The column's Arrow type."""
    rows: int
    read: Callable[[], Iterator[pa.RecordBatch]]
    """Yields batches of the column and, with `starts`, of `document_starts`."""
    starts: bool = False
    """Whether a column `document_starts` says where documents begin in the rows."""

    @property
    def width(self) -> int | None:
        """The rows' length if the column's type fixes it, else None."""
        return self.kind.list_size if pa.types.is_fixed_size_list(self.kind) else None

    @property
    def knows_documents(self) -> bool:
        """Whether it is known where documents begin; rows of one length may be blocks."""
        return self.starts or self.width is None
