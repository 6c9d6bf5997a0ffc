"""A model's own head, run on the masked positions only.

Of every token's logits, `[B, L, V]`, masked language modelling uses one in seven. A forward hook
on `model.base_model` keeps the hidden states of the masked positions, so that whatever head the
model has runs on those rows and gives the very same logits for them. Where the last layer allows
it, the rows are kept in there already (last_layer.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

from mlmfast.training.model.checkpointing import is_checkpointing
from mlmfast.training.model.last_layer import (
    LastLayer,
    RowSelection,
    find_last_layer,
    layers_of,
    recording,
)

logger = logging.getLogger(__name__)

IGNORED = -100

ALL_ROWS = "all rows"
MASKED_ROWS = "masked rows"
LAST_LAYER_TOO = "masked rows, last layer too"


class MaskedLogits(NamedTuple):
    """What a model says at the masked positions of a batch.

    Attributes:
        logits: `[M, V]`, in the order of the positions.
        targets: int64 `[M]`, the labels there; -100 at rows that only fill a shape up.
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
        last_layer: False leaves the last layer whole.
        static: for a compiled model: numbers of rows are filled up to a few shapes, and the hooks
            stay on the model (they do nothing in any other call), for it is compiled with them.

    Attributes:
        scope: what is run on the masked rows: `ALL_ROWS` (nothing), `MASKED_ROWS` (the head) or
            `LAST_LAYER_TOO`; None before the first batch.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        allowed: bool = True,
        last_layer: bool = True,
        static: bool = False,
    ) -> None:
        self.model = model
        self.scope: str | None = None
        base = getattr(model, "base_model", model)
        self._base: Any = base if allowed and base is not model else None
        self._try_last_layer = last_layer
        self._static = static
        self._wanted = RowSelection()
        self._last_layer: LastLayer | None = None
        self._handles: list[Any] = []

    def __call__(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        labels: torch.Tensor,
        positions: torch.Tensor | None = None,
        *,
        fill_up: bool = True,
    ) -> MaskedLogits:
        """Run `model`, which is the head's own model or a wrapper of it.

        Args:
            model: what to call.
            inputs: its arguments without labels; `input_ids` is `[B, L]`.
            labels: int64 `[B, L]`, -100 where nothing is asked.
            positions: int64 `[M]`, where labels are not -100, flat into `B * L`; None looks for
                them, which on a GPU waits for the device.
            fill_up: False leaves the number of rows as it is for a compiled model, too.
        """
        if self.scope is None:
            self._prepare(inputs, labels)
        if positions is None:
            positions = find_positions(labels)
        if self.scope == ALL_ROWS:
            return at_masks(model(**inputs).logits, labels, positions)
        targets = labels.flatten()[positions]
        if self._static and fill_up:
            positions, targets = _filled_up(positions, targets, labels.numel())
        if not self._handles:
            self._handles = self._attach()
        try:
            with self._asking(positions, labels):
                logits = model(**inputs).logits
        finally:
            if not self._static:
                self.take_hooks_off()
        rows = positions // labels.shape[1]
        return MaskedLogits(logits.reshape(-1, logits.shape[-1]), targets, rows)

    def _prepare(self, inputs: dict[str, Any], labels: torch.Tensor) -> None:
        """Find out on two rows of a batch how much can be run on masked rows, and say it."""
        self.scope = ALL_ROWS
        if self._base is not None:
            with _fp32_eval(self.model, labels.device):
                self.scope = self._tried(_two_rows(inputs), labels[:2])
        logger.info("the head runs on %s", self.scope)

    def take_hooks_off(self) -> None:
        """Remove what stays on a compiled model between calls; the next call puts it on again."""
        _remove(self._handles)
        self._handles = []

    def _tried(self, inputs: dict[str, Any], labels: torch.Tensor) -> str:
        asked = torch.full_like(labels, IGNORED)
        asked[:, 1::3] = 0
        positions = find_positions(asked)
        whole = not self._try_last_layer or is_checkpointing(self.model)
        try:
            with recording([] if whole else layers_of(self._base)) as calls:
                dense = at_masks(self.model(**inputs).logits, asked, positions).logits.float()
        except Exception:  # noqa: BLE001 - then the training itself will say what is wrong
            return ALL_ROWS
        # A checkpointed layer is run again, when the rows are no longer known; numbers of half the
        # width agree too roughly to be sure of a layer.
        if calls and dense.dtype == next(self.model.parameters()).dtype:
            self._last_layer = find_last_layer(calls, positions, labels, self._wanted)
        del calls
        if self._last_layer is not None:
            if self._agrees(inputs, labels, positions, dense):
                return LAST_LAYER_TOO
            self._last_layer = None
        return MASKED_ROWS if self._agrees(inputs, labels, positions, dense) else ALL_ROWS

    def _agrees(
        self,
        inputs: dict[str, Any],
        labels: torch.Tensor,
        positions: torch.Tensor,
        dense: torch.Tensor,
    ) -> bool:
        handles = self._attach()
        try:
            with self._asking(positions, labels):
                sparse = self.model(**inputs).logits.float()
        except Exception:  # noqa: BLE001 - any model may fail on rows in its own way
            return False
        finally:
            _remove(handles)
        sparse = sparse.reshape(-1, sparse.shape[-1])
        # The same numbers through the same head: equal but for rounding at another shape.
        half = next(self.model.parameters()).dtype != torch.float32
        near = (2e-2 if half else 1e-4) * dense.abs().max().item()
        return sparse.shape == dense.shape and torch.allclose(sparse, dense, rtol=0, atol=near)

    @contextmanager
    def _asking(self, positions: torch.Tensor, labels: torch.Tensor) -> Iterator[None]:
        self._wanted.ask(positions, labels)
        try:
            yield
        finally:
            self._wanted.positions = None

    def _attach(self) -> list[Any]:
        inside = [] if self._last_layer is None else self._last_layer.attach()
        return [*inside, self._base.register_forward_hook(self._keep)]

    def _keep(self, _module: Any, _args: Any, output: Any) -> Any:
        if self._wanted.positions is None:
            return None
        rows = self._wanted.take(output[0])
        self._wanted.positions = None
        if isinstance(output, tuple):
            return (rows, *output[1:])
        output.last_hidden_state = rows
        return output


def at_masks(
    logits: torch.Tensor, labels: torch.Tensor, positions: torch.Tensor | None = None
) -> MaskedLogits:
    """Pick the masked positions out of all logits.

    Args:
        logits: `[B, L, V]`.
        labels: int64 `[B, L]`, -100 where nothing is asked.
        positions: int64 `[M]`, as `find_positions` finds them.
    """
    if positions is None:
        positions = find_positions(labels)
    picked = logits.reshape(-1, logits.shape[-1])[positions]
    return MaskedLogits(picked, labels.flatten()[positions], positions // labels.shape[1])


def find_positions(labels: torch.Tensor) -> torch.Tensor:
    """Find where labels `[B, L]` are not -100: int64 `[M]`, ascending, flat into `B * L`.

    Their number decides a shape: on a GPU this waits for the device.
    """
    return (labels.flatten() != IGNORED).nonzero()[:, 0]


def _remove(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()


def _filled_up(
    positions: torch.Tensor, targets: torch.Tensor, tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fill up to a multiple of about 3 % of the batch with the first row, of no label.

    A number of rows that is always another would be compiled for any number, and so is none at all.
    """
    step = max(8, 1 << (tokens // 64).bit_length())
    missing = max(step, -(-len(positions) // step) * step) - len(positions)
    fill = torch.nn.functional.pad
    return fill(positions, (0, missing)), fill(targets, (0, missing), value=IGNORED)


def _two_rows(inputs: dict[str, Any]) -> dict[str, Any]:
    """Two rows of a batch; where it can say so, the second ends in padding."""
    few = {name: tensor[:2] for name, tensor in inputs.items()}
    mask = few.get("attention_mask")
    if mask is not None and mask.dim() == 2 and len(mask) > 1:
        few["attention_mask"] = mask.clone()
        few["attention_mask"][1, -(mask.shape[1] // 8) :] = 0
    return few


class _WithoutAutocast(TorchFunctionMode):
    """Switches autocast off around every function of torch, whoever switches it on in between.

    accelerate puts an autocast around the `forward` of a model that trains in half precision, where
    one from outside is of no effect.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch.autocast(self._device, enabled=False):
            return func(*args, **(kwargs or {}))


@contextmanager
def _fp32_eval(model: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluate in full precision, and leave modes and random numbers as they were."""
    modes = [(module, module.training) for module in model.modules()]
    products = torch.get_float32_matmul_precision()
    devices = [device] if device.type == "cuda" else []
    model.eval()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.random.fork_rng(devices),
            torch.no_grad(),
            torch.autocast(device.type, enabled=False),
            _WithoutAutocast(device.type),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(products)
        for module, training in modes:
            module.training = training
