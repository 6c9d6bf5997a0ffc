"""The options of grouping, checked once, what each kind of column is filled with, the report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypedDict

from mlmfast.errors import InputError

_REMAINDERS = ("drop", "pad", "keep")
PACKINGS = ("concat", "best_fit")
_BOUNDARIES = ("document_ids", "sequence_lengths")
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
        _whole("block_size", self.block_size, 1)
        _among("remainder", self.remainder, _REMAINDERS)
        _among("packing", self.packing, PACKINGS)
        _among("boundaries", self.boundaries, _BOUNDARIES, or_none=True)
        _among("dtype", self.dtype, DTYPES, or_none=True)
        for name in ("separator_id", "pad_id", "cls_id", "sep_id"):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), 0, 2**63 - 1)
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
        _whole("position_offset", self.position_offset, 0, 2**31 - 1 - self.block_size)
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


def _whole(name: str, value: Any, least: int, most: int = 2**31 - 1) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InputError(f"{name} must be a whole number, got {value!r}")
    if not least <= value <= most:
        raise InputError(f"{name} must be between {least} and {most}, got {value}")


def _among(name: str, value: Any, known: tuple[str, ...], *, or_none: bool = False) -> None:
    if value in known or (or_none and value is None):
        return
    either = ", ".join(map(repr, known[:-1])) + f" or {known[-1]!r}"
    raise InputError(f"{name} must be {'None, ' if or_none else ''}{either}, got {value!r}")
