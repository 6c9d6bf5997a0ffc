"""Trace a PyTorch masked language model to ONNX, with all logits or with those of some rows."""

from __future__ import annotations

import inspect
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.errors import MlmfastError, first_line
from mlmfast.exporting.architectures import own_inputs
from mlmfast.exporting.patches import traceable
from mlmfast.torch_models import text_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# LayerNormalization is one operator from 17 on; Gelu, one from 20 on, loses no fusion by it.
OPSET = 17
MAX_OPSET = 20  # what torch's tracer knows
IDS, MASK, SEGMENTS = "input_ids", "attention_mask", "token_type_ids"
INPUTS = (IDS, MASK, SEGMENTS)
ROWS = "mask_positions"
LOGITS = "logits"
# Sizes that differ from each other and from those in configurations, so that a frozen size shows.
_EXAMPLE = (2, 19)
# The shape that a model runs before it is traced: one that caches tables for its last length (ESM's
# rotary embedding) must compute them again, or they would be frozen into the graph.
_BEFORE = (2, 11)

# How the head gets the rows: as one text of M tokens, as M texts of one token, or not at all, if
# it needs all tokens and the rows of its logits are selected.
LAYOUTS = ("one text", "many texts", "after the head")


def input_names(model: Any) -> tuple[str, ...]:
    """Return the names of the inputs of a graph of `model`, in their order.

    token_type_ids is among them where the model tells two segments apart.
    """
    own = own_inputs(model.config)
    if own is not None:
        return own
    known = inspect.signature(model.forward).parameters
    segments = getattr(text_config(model.config), "type_vocab_size", None) or 0
    names = [IDS]
    if MASK in known:
        names.append(MASK)
    if SEGMENTS in known and segments > 1:
        names.append(SEGMENTS)
    return tuple(names)


def example_inputs(
    model: Any, names: Sequence[str], shape: tuple[int, int] = _EXAMPLE
) -> dict[str, torch.Tensor]:
    """Draw tokens, with padding at the end of the second row, int64 of that shape each."""
    config = text_config(model.config)
    batch, length = shape
    draw = torch.Generator().manual_seed(0)
    padding = getattr(config, "pad_token_id", None)
    ids = torch.randint(0, config.vocab_size, shape, generator=draw)
    real = torch.ones(batch, length, dtype=torch.int64)
    if padding is not None and padding < config.vocab_size:
        ids[ids == padding] = (padding + 1) % config.vocab_size
        if MASK in names:
            real[1, -4:] = 0
            ids[1, -4:] = padding
    segments = torch.zeros(batch, length, dtype=torch.int64)
    every = {IDS: ids, MASK: real, SEGMENTS: segments}
    return {name: every[name] for name in names}


class Logits(torch.nn.Module):
    """A masked language model with positional tensors in and logits out, for the tracer.

    Args:
        model: a masked language model of transformers.
        names: what the tensors given to `forward` are, in their order.
    """

    def __init__(self, model: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self._names = tuple(names)
        self.eval()  # a new module is in training mode, and the tracer sets the model back to that

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the logits `[B, L, V]`."""
        given = dict(zip(self._names, tensors, strict=True))
        main = getattr(self.model, "main_input_name", IDS)  # Perceiver's is `inputs`
        given[main] = given.pop(IDS)
        if "use_cache" in inspect.signature(self.model.forward).parameters:
            given["use_cache"] = False  # type: ignore[assignment]
        with traceable(self.model):
            logits: torch.Tensor = self.model(**given, return_dict=True).logits
        return logits


class RowLogits(Logits):
    """The same with the logits of some rows; their positions are the last tensor.

    Args:
        model: a masked language model of transformers.
        names: what the other tensors are, in their order.
        layout: one of LAYOUTS.
    """

    def __init__(self, model: torch.nn.Module, names: Sequence[str], layout: str) -> None:
        super().__init__(model, names)
        self.layout = layout

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the logits `[M, V]` of the positions, int64 `[M]` = row * length + column."""
        *inputs, positions = tensors
        if self.layout == "after the head":
            return rows(super().forward(*inputs), positions, inputs[0].shape[1])
        length = inputs[0].shape[1]
        with _rows_of_base(self.model.base_model, positions, length, self.layout):
            logits = super().forward(*inputs)
        return logits.reshape(-1, logits.shape[-1])


def rows(hidden: torch.Tensor, positions: torch.Tensor, length: int) -> torch.Tensor:
    """Take rows `[M, H]` of `[B, L, H]` by their flat positions in texts of `length` tokens."""
    if hidden.shape[1] != length:  # Perceiver answers as many tokens as it has positions for
        positions = positions // length * hidden.shape[1] + positions % length
    return hidden.reshape(-1, hidden.shape[-1]).index_select(0, positions)


@contextmanager
def _rows_of_base(base: Any, positions: torch.Tensor, length: int, layout: str) -> Iterator[None]:
    def keep(_module: torch.nn.Module, _args: Any, output: Any) -> Any:
        first = 0 if isinstance(output, tuple) else next(iter(output))
        kept = rows(output[first], positions, length)
        kept = kept[None] if layout == "one text" else kept[:, None]
        if isinstance(output, tuple):
            return (kept, *output[1:])
        output[first] = kept
        return output

    handle = base.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def find_layout(model: Any, names: Sequence[str]) -> str:
    """Return the first of LAYOUTS in which the head computes the same logits as for all tokens."""
    inputs = [*example_inputs(model, names, _BEFORE).values()]
    positions = torch.tensor([12, 3, 4, 0, 14])
    with torch.no_grad():
        try:
            expected = rows(Logits(model, names)(*inputs), positions, _BEFORE[1])
        except Exception:  # noqa: BLE001 - any model may refuse a length in its own way
            return LAYOUTS[-1]
        near = 1e-5 * max(1.0, expected.abs().max().item())
        for layout in LAYOUTS[: -1 if model.base_model is not model else 0]:
            try:
                actual = RowLogits(model, names, layout)(*inputs, positions)
            except Exception:  # noqa: BLE001, S112 - any head may fail on rows in its own way
                continue
            if actual.shape == expected.shape and torch.allclose(
                actual, expected, rtol=0, atol=near
            ):
                return layout
    return LAYOUTS[-1]


def trace(wrapper: Logits, path: Path, names: Sequence[str], *, opset: int = OPSET) -> None:
    """Trace `wrapper` into the ONNX file `path`, with the output `logits`.

    Args:
        wrapper: the model; where it is a RowLogits, `mask_positions` becomes the last input.
        path: the file to write. A graph over 2 GB gets further files beside it.
        names: the inputs of the model.
        opset: ONNX operator set.

    Raises:
        MlmfastError: the tracer cannot write this model.
    """
    before = example_inputs(wrapper.model, names, _BEFORE)
    inputs = example_inputs(wrapper.model, names)
    axes = {name: {0: "batch", 1: "length"} for name in names}
    if isinstance(wrapper, RowLogits):
        before[ROWS] = torch.tensor([5])
        inputs[ROWS] = torch.tensor([5, 20, 3])
        axes |= {ROWS: {0: "masks"}, LOGITS: {0: "masks"}}
    else:
        axes[LOGITS] = {0: "batch", 1: "length"}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            with suppress(Exception):  # too short for some
                wrapper(*before.values())
            # The comparison at other shapes finds what the tracer freezes.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                wrapper,
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=[LOGITS],
                dynamic_axes=axes,
                opset_version=opset,
                dynamo=False,
            )
    except Exception as error:  # the tracer raises what the model's own code raises, and its own
        kind = getattr(wrapper.model.config, "model_type", "unnamed")
        reason = first_line(error)
        raise MlmfastError(f"The type {kind} cannot be traced to ONNX: {reason}") from error
