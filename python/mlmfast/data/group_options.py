"""The options of grouping, checked once, and what each kind of column is filled with."""

from __future__ import annotations

from dataclasses import dataclass

from mlmfast.errors import InputError

# What stands beside a padding token and beside a separator in the columns a tokenizer makes.
# None: the token's own id.
_BESIDE_PADDING = {
    "input_ids": None,
    "attention_mask": 0,
    "token_type_ids": 0,
    "special_tokens_mask": 1,
    "labels": -100,
}
_BESIDE_SEPARATOR = {**_BESIDE_PADDING, "attention_mask": 1, "labels": None}


@dataclass(frozen=True)
class GroupOptions:
    """How to group; see `mlmfast.group_blocks`."""

    block_size: int
    remainder: str
    separator_id: int | None
    pad_id: int | None

    def __post_init__(self) -> None:
        if isinstance(self.block_size, bool) or not isinstance(self.block_size, int):
            raise InputError(f"block_size must be a whole number, got {self.block_size!r}")
        if not 1 <= self.block_size < 2**31:
            raise InputError(f"block_size must be between 1 and {2**31 - 1}, got {self.block_size}")
        if self.remainder not in ("drop", "pad", "keep"):
            raise InputError(f"remainder must be 'drop', 'pad' or 'keep', got {self.remainder!r}")
        if self.remainder == "pad" and self.pad_id is None:
            raise InputError("remainder='pad' needs pad_id, the id of the padding token")

    def padding_for(self, column: str) -> int | None:
        """The value that fills up the last block of a column; None where nothing is padded."""
        return self._fill(column, self.pad_id, _BESIDE_PADDING) if self.remainder == "pad" else None

    def separator_for(self, column: str) -> int | None:
        """The value between two documents of a column; None where there is no separator."""
        if self.separator_id is None:
            return None
        return self._fill(column, self.separator_id, _BESIDE_SEPARATOR)

    @staticmethod
    def _fill(column: str, token: int | None, table: dict[str, int | None]) -> int | None:
        # A column without a name is a bare array of token ids.
        if column and column not in table:
            known = ", ".join(table)
            raise InputError(
                f"column {column!r}: no filling value is known for it (known: {known}): "
                "leave the column out, or use neither remainder='pad' nor separator_id"
            )
        value = table.get(column)
        return token if value is None else value
