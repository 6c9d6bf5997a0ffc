"""A model's own head, run on the masked positions only.

Of every token's logits, `[B, L, V]`, masked language modelling uses one in seven. A forward hook
on `model.base_model` keeps the hidden states of the masked positions, so that whatever head the
model has runs on those rows and gives the very same logits for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

IGNORED = -100


class MaskedLogits(NamedTuple):
    """What a model says at the masked positions of a batch.

    Attributes:
        logits: `[M, V]`, in the order of the positions.
        targets: int64 `[M]`, the labels there.
        rows: int64 `[M]`, the blocks of the batch they lie in.
    """

    logits: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor


class MaskedHead:
    """Gives the logits at the masked positions; on all rows where the model does not allow less.

    Whether it does is found out on the first batch: the logits of both ways are compared once.

    Args:
        model: a masked language model of transformers, not wrapped.
        allowed: False always runs the head on all rows.
    """

    def __init__(self, model: torch.nn.Module, *, allowed: bool = True) -> None:
        self.model = model
        base = getattr(model, "base_model", model)
        self._base = base if allowed and base is not model else None
        self._tried = False

    def __call__(
        self, model: torch.nn.Module, inputs: dict[str, Any], labels: torch.Tensor
    ) -> MaskedLogits:
        """Run `model`, which is the head's own model or a wrapper of it.

        Args:
            model: what to call.
            inputs: its arguments without labels; `input_ids` is `[B, L]`.
            labels: int64 `[B, L]`, -100 where nothing is asked.
        """
        if not self._tried:
            self._tried = True
            if self._base is not None and not self._agrees(inputs, labels):
                self._base = None
        if self._base is None:
            return at_masks(model(**inputs).logits, labels)
        positions = _positions(labels)
        with _rows_at(self._base, positions):
            logits = model(**inputs).logits
        rows = positions // labels.shape[1]
        return MaskedLogits(
            logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)[positions], rows
        )

    def _agrees(self, inputs: dict[str, Any], labels: torch.Tensor) -> bool:
        """Whether two rows of this batch have the same logits both ways."""
        few = {name: tensor[:2] for name, tensor in inputs.items()}
        asked = torch.full_like(labels[:2], IGNORED)
        asked[:, 1::3] = 0
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with torch.no_grad(), torch.autocast(labels.device.type, enabled=False):
                dense = at_masks(self.model(**few).logits, asked).logits.float()
                with _rows_at(self._base, _positions(asked)):
                    sparse = self.model(**few).logits.float()
        except Exception:  # noqa: BLE001 - any model may fail on rows in its own way
            return False
        finally:
            for module, training in modes:
                module.training = training
        sparse = sparse.reshape(-1, sparse.shape[-1])
        # The same numbers through the same head: equal but for rounding at another shape.
        half = next(self.model.parameters()).dtype != torch.float32
        near = (2e-2 if half else 1e-4) * dense.abs().max().item()
        return sparse.shape == dense.shape and torch.allclose(sparse, dense, rtol=0, atol=near)


def at_masks(logits: torch.Tensor, labels: torch.Tensor) -> MaskedLogits:
    """Pick the masked positions out of all logits.

    Args:
        logits: `[B, L, V]`.
        labels: int64 `[B, L]`, -100 where nothing is asked.
    """
    positions = _positions(labels)
    picked = logits.reshape(-1, logits.shape[-1])[positions]
    return MaskedLogits(picked, labels.reshape(-1)[positions], positions // labels.shape[1])


def _positions(labels: torch.Tensor) -> torch.Tensor:
    # Their number decides a shape: on a GPU this waits for the device.
    return (labels.reshape(-1) != IGNORED).nonzero()[:, 0]


@contextmanager
def _rows_at(base: Any, positions: torch.Tensor) -> Iterator[None]:
    """Keep the rows at `positions` (flat) of the last hidden state, as `[1, M, H]`."""

    def keep(_module: torch.nn.Module, _args: Any, output: Any) -> Any:
        hidden = output[0]
        rows = hidden.reshape(-1, hidden.shape[-1])[positions][None]
        if isinstance(output, tuple):
            return (rows, *output[1:])
        output.last_hidden_state = rows
        return output

    handle = base.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()
