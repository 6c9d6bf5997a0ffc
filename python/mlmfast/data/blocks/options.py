"""The options of grouping, checked once, what each kind of column is filled with, the report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypedDict

from mlmfast.errors import InputError
from mlmfast.options import check_choice, check_int

_REMAINDERS = ("drop", "pad", "keep")
PACKINGS = ("concat", "best_fit")
_BOUNDARIES = ("document_ids", "sequence_lengths")
_LARGEST = 2**31 - 1
DTYPES = ("uint16", "uint32", "int32", "int64")

# What stands beside a padding token and beside a special one (a separator, [CLS], [SEP]) in the
# columns a tokenizer makes. None: the token's own id.
_BESIDE_PADDING = {
    "input_ids": None,
    "attention_mask": 0,
    "token_type_ids": 0,
    "special_tokens_mask": 1,
    "labels": -100,
}
_BESIDE_SPECIAL = {**_BESIDE_PADDING, "attention_mask": 1, "labels": None}


class Fills(TypedDict):
    """The ids to put between and beside the tokens of one column."""

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
        """Tokens of the data that a block holds at most."""
        return self.block_size - (self.cls_id is not None) - (self.sep_id is not None)

    @property
    def plain(self) -> bool:
        """Whether blocks are cut as the Hugging Face guide cuts them, without anything of ours."""
        ours = (self.cls_id, self.sep_id, self.boundaries)
        return self.packing == "concat" and all(option is None for option in ours)

    @cached_property
    def cuts_alone(self) -> bool:
        """Whether the tokens are cut and nothing else: none added, converted or moved."""
        whole = self.remainder == "drop" and self.dtype is None
        return whole and self.plain and self.separator_id is None

    def fills_for(self, column: str) -> Fills:
        """The values that stand between and beside the tokens of a column."""
        pads = self.remainder == "pad" or self.packing == "best_fit"
        return {
            "separator_id": _fill(column, self.separator_id, _BESIDE_SPECIAL),
            "cls_id": _fill(column, self.cls_id, _BESIDE_SPECIAL),
            "sep_id": _fill(column, self.sep_id, _BESIDE_SPECIAL),
            "pad_id": _fill(column, self.pad_id if pads else None, _BESIDE_PADDING),
        }


def packing_name(packing: Any) -> Any:
    """Return a packing's name in our spelling; "best-fit" is taken as well."""
    return "best_fit" if packing == "best-fit" else packing


@dataclass(frozen=True)
class GroupStats:
    """What grouping made of the tokens; see `mlmfast.group_blocks`."""

    tokens: int
    """Tokens of all rows."""
    blocks: int
    fill_rate: float
    """The share of the blocks' positions that is no padding; 1.0 where there is no block."""
    dropped_tokens: int
    """Of `tokens`, how many came into no block."""
    padding_tokens: int
    """Positions that were filled up."""


# Of equal values with other types (1 and True), one may be good and the other not.
_checked = lru_cache(maxsize=64, typed=True)(GroupOptions)


def checked_options(*options: Any) -> GroupOptions:
    """`GroupOptions(*options)`; what was good in an earlier call is not looked at again."""
    try:
        return _checked(*options)
    except TypeError:  # a value that cannot be hashed: GroupOptions says what is wrong with it
        return GroupOptions(*options)


def fill_rate(positions: int, padding: int) -> float:
    """The share of `positions` that is no padding."""
    return 1 - padding / positions if positions else 1.0


def _fill(column: str, token: int | None, table: dict[str, int | None]) -> int | None:
    if token is None:
        return None
    # A column without a name is a bare array of token ids.
    if column and column not in table:
        known = ", ".join(table)
        raise InputError(
            f"column {column!r}: no filling value is known for it (known: {known}): "
            "leave the column out, or use neither padding nor separator_id, cls_id, sep_id"
        )
    value = table.get(column)
    return token if value is None else value
