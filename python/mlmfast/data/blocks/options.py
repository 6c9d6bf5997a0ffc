"""The options of grouping and their checks, the fill values of each column, the statistics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypedDict

from mlmfast.errors import InputError
from mlmfast.options import check_choice, check_int

_REMAINDERS = ("drop", "pad", "keep")
PACKINGS = ("concat", "best_fit")
_BOUNDARIES = ("document_ids", "document_starts", "sequence_lengths")
_LARGEST = 2**31 - 1
DTYPES = ("uint16", "uint32", "int32", "int64")

# The values of a tokenizer's columns at a padding token and at a special token (a separator, [CLS],
# [SEP]). None stands for the token's own id.
_AT_PADDING = {
    "input_ids": None,
    "attention_mask": 0,
    "token_type_ids": 0,
    "special_tokens_mask": 1,
    "labels": -100,
}
_AT_SPECIAL = {**_AT_PADDING, "attention_mask": 1, "labels": None}


class Fills(TypedDict):
    """The values to insert between and beside the tokens of one column."""

    separator_id: int | None
    cls_id: int | None
    sep_id: int | None
    pad_id: int | None


@dataclass(frozen=True)
class GroupOptions:
    """How to group; see `mlmfast.group_blocks`."""

    block_size: int
    remainder: str = "drop"
    separator_id: int | None = None
    pad_id: int | None = None
    cls_id: int | None = None
    sep_id: int | None = None
    packing: str = "concat"
    boundaries: str | None = None
    position_offset: int = 0
    dtype: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "packing", packing_name(self.packing))
        check_int("block_size", self.block_size, 1, _LARGEST)
        check_choice("remainder", self.remainder, _REMAINDERS, quoted=True)
        check_choice("packing", self.packing, PACKINGS, quoted=True)
        check_choice("boundaries", self.boundaries, _BOUNDARIES, optional=True, quoted=True)
        check_choice("dtype", self.dtype, DTYPES, optional=True, quoted=True)
        for name in ("separator_id", "pad_id", "cls_id", "sep_id"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 0, 2**63 - 1)
        if self.capacity < 1:
            raise InputError(
                f"block_size {self.block_size} leaves no room for tokens beside cls_id and sep_id"
            )
        if self.pad_id is None and (self.remainder == "pad" or self.packing == "best_fit"):
            option = "packing='best_fit'" if self.packing == "best_fit" else "remainder='pad'"
            raise InputError(f"{option} needs pad_id, the id of the padding token")
        if self.packing == "best_fit" and self.remainder == "keep":
            raise InputError(
                "packing='best_fit' fills every block up: remainder='keep' is not for it"
            )
        check_int("position_offset", self.position_offset, 0, _LARGEST - self.block_size)
        if self.position_offset and self.boundaries != "sequence_lengths":
            raise InputError("position_offset is for boundaries='sequence_lengths'")

    @property
    def capacity(self) -> int:
        """Maximum number of the data's tokens in a block."""
        return self.block_size - (self.cls_id is not None) - (self.sep_id is not None)

    @property
    def matches_group_texts(self) -> bool:
        """Whether the options are those of the Hugging Face guide's `group_texts`."""
        ours = (self.cls_id, self.sep_id, self.boundaries)
        return self.packing == "concat" and all(option is None for option in ours)

    @cached_property
    def is_zero_copy(self) -> bool:
        """Whether tokens are only cut into blocks: none added, converted or moved."""
        unchanged = self.remainder == "drop" and self.dtype is None
        return unchanged and self.matches_group_texts and self.separator_id is None

    def fills_for(self, column: str) -> Fills:
        """Return the values to insert between and beside the tokens of a column."""
        pads = self.remainder == "pad" or self.packing == "best_fit"
        return {
            "separator_id": _fill_value(column, self.separator_id, _AT_SPECIAL),
            "cls_id": _fill_value(column, self.cls_id, _AT_SPECIAL),
            "sep_id": _fill_value(column, self.sep_id, _AT_SPECIAL),
            "pad_id": _fill_value(column, self.pad_id if pads else None, _AT_PADDING),
        }


def packing_name(packing: Any) -> Any:
    """Return the canonical name of a packing; "best-fit" is accepted for "best_fit"."""
    return "best_fit" if packing == "best-fit" else packing


@dataclass(frozen=True)
class GroupStats:
    """Statistics of grouping; see `mlmfast.group_blocks`."""

    tokens: int
    """Number of tokens of all rows."""
    blocks: int
    fill_rate: float
    """The fraction of positions that are not padding; 1.0 if there is no block."""
    dropped_tokens: int
    """Number of `tokens` that are in no block."""
    padding_tokens: int
    """Number of positions filled with padding."""


# typed: of two equal values of different types (1 and True), one may be invalid.
_checked = lru_cache(maxsize=64, typed=True)(GroupOptions)


def checked_options(*options: Any) -> GroupOptions:
    """Return `GroupOptions(*options)`, cached: valid options are checked once."""
    try:
        return _checked(*options)
    except TypeError:  # an unhashable value: GroupOptions raises the error that names it
        return GroupOptions(*options)


def fill_rate(positions: int, padding: int) -> float:
    """Return the fraction of `positions` that are not padding."""
    return 1 - padding / positions if positions else 1.0


def _fill_value(column: str, token: int | None, table: dict[str, int | None]) -> int | None:
    if token is None:
        return None
    # A column without a name is a bare array of token ids.
    if column and column not in table:
        choices = ", ".join(table)
        raise InputError(
            f"column {column!r}: no filling value is known for it (known: {choices}): "
            "leave the column out, or use neither padding nor separator_id, cls_id, sep_id"
        )
    value = table.get(column)
    return token if value is None else value
