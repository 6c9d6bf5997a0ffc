"""How a model is told the position of each token in its document."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from mlmfast.training.model.documents.layout import Documents


@dataclass(frozen=True)
class PositionArgument:
    """Positions are the argument `position_ids`.

    Attributes:
        offset: the position of the first token: 0 in BERT, `padding_idx + 1` in RoBERTa.
    """

    offset: int

    def arguments(self, documents: Documents) -> dict[str, torch.Tensor]:
        """Return the arguments of the model."""
        return {"position_ids": documents.positions + self.offset}

    def attach(self, _current: Callable[[], Documents | None]) -> list[Any]:
        """Register no hook."""
        return []


@dataclass(frozen=True)
class PositionTable:
    """Positions are looked up in a table, which the model fills in by itself.

    Attributes:
        table: the embeddings of positions.
        offset: the position of the first token.
    """

    table: nn.Module
    offset: int

    def arguments(self, _documents: Documents) -> dict[str, torch.Tensor]:
        """Return no argument."""
        return {}

    def attach(self, current: Callable[[], Documents | None]) -> list[Any]:
        """Register a hook that replaces the positions, and return its handle."""

        def replace(_module: nn.Module, args: Any) -> Any:
            documents = current()
            return None if documents is None else (documents.positions + self.offset, *args[1:])

        return [self.table.register_forward_pre_hook(replace)]


@dataclass(frozen=True)
class NoPositions:
    """The model knows distances only, which are the same wherever a document begins."""

    def arguments(self, _documents: Documents) -> dict[str, torch.Tensor]:
        """Return no argument."""
        return {}

    def attach(self, _current: Callable[[], Documents | None]) -> list[Any]:
        """Register no hook."""
        return []


Positions = PositionArgument | PositionTable | NoPositions


def position_ways(model: nn.Module, ids: torch.Tensor) -> Iterator[Positions]:
    """Yield the ways to try, the likeliest first.

    Args:
        model: a masked language model of transformers.
        ids: int64 `[1, L]`, a document without padding.
    """
    tables = _position_tables(model, ids)
    if "position_ids" in inspect.signature(model.forward).parameters:
        padding = getattr(getattr(model, "config", None), "pad_token_id", None)
        offsets = {offset for _, offset in tables} | {0, (padding or 0) + 1}
        expected = model(input_ids=ids).logits
        for offset in sorted(offsets, reverse=True):
            way = PositionArgument(offset)
            columns = torch.arange(ids.shape[1], device=ids.device)[None] + offset
            try:
                logits = model(input_ids=ids, position_ids=columns).logits
            except (IndexError, RuntimeError, TypeError, ValueError):
                continue
            if torch.equal(logits, expected):
                yield way
    yield from (PositionTable(table, offset) for table, offset in tables)
    yield NoPositions()


def _position_tables(model: nn.Module, ids: torch.Tensor) -> list[tuple[nn.Module, int]]:
    """Find the tables that are given ascending positions, each with the first of them."""
    found: list[tuple[nn.Module, int]] = []
    columns = torch.arange(ids.shape[1], device=ids.device)

    def look(module: nn.Module, args: Any) -> None:
        given = args[0] if args else None
        if not isinstance(given, torch.Tensor) or given.is_floating_point():
            return
        if given.dim() in (1, 2) and given.shape[-1] == ids.shape[1] and len(columns) > 1:
            row = given.reshape(-1, ids.shape[1])[0]
            if torch.equal(row - row[0], columns.to(row.dtype)):
                found.append((module, int(row[0])))

    tables = [each for each in model.modules() if isinstance(each, nn.Embedding)]
    handles = [each.register_forward_pre_hook(look) for each in tables]
    try:
        model(input_ids=ids)
    finally:
        for handle in handles:
            handle.remove()
    return found
