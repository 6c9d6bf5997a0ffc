"""Rules that hold for every masked language model of PyTorch, whether it is trained or exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch


class Positions(NamedTuple):
    """The position embeddings of a model.

    Attributes:
        table: rows of the table.
        reserved: rows that no token ever gets.
    """

    table: int
    reserved: int

    @property
    def usable(self) -> int:
        """Tokens of the longest input, special tokens included."""
        return self.table - self.reserved


def max_input_length(model: torch.nn.Module) -> Positions | None:
    """Find out how many tokens a model takes, special tokens included; None without a limit.

    RoBERTa and its family number positions from `padding_idx + 1`, so that their 514 rows take 512
    tokens. Nystromformer and YOSO number them from 2, in a table that has two rows more than their
    configuration says. Models without a table of absolute positions have the configuration's limit.
    """
    config = text_config(getattr(model, "config", None))
    limit = getattr(config, "max_position_embeddings", None)
    limit = limit if isinstance(limit, int) and limit > 0 else None
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if name.rpartition(".")[2] == "position_embeddings" and weight is not None:
            padding = getattr(module, "padding_idx", None)
            rows = getattr(module, "num_embeddings", None) or len(weight)
            reserved = 0 if padding is None else padding + 1
            return Positions(rows, reserved if limit is None else max(reserved, rows - limit))
    return None if limit is None else Positions(limit, 0)


def text_config(config: Any) -> Any:
    """Return the part of a configuration that is about text; ModernVBERT has another for images."""
    return getattr(config, "text_config", None) or config
