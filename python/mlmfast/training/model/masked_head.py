"""Runs the head of a model on the masked positions only.

Masked language modelling uses one in seven of the logits `[B, L, V]`. A forward hook on
`model.base_model` keeps the hidden states of the masked positions only, so that the head of the
model, whatever it is, runs on those rows and returns the same logits for them. If the last layer
allows it, hooks select the rows there already (last_layer.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from mlmfast.peft_models import without_adapters
from mlmfast.training.model.checkpointing import is_checkpointing, repeats_hooks
from mlmfast.training.model.documents.document_attention import DocumentAttention
from mlmfast.training.model.fp32_eval import fp32_eval, two_rows
from mlmfast.training.model.last_layer import (
    LastLayer,
    RowSelection,
    find_last_layer,
    layers_of,
    recording,
)
from mlmfast.training.model.sharding import holds_everywhere

logger = logging.getLogger(__name__)

IGNORED = -100
DOCUMENT_IDS = "document_ids"

ALL_ROWS = "all rows"
MASKED_ROWS = "masked rows"
LAST_LAYER_TOO = "masked rows, last layer too"


class MaskedLogits(NamedTuple):
    """The logits of a model at the masked positions of a batch.

    Attributes:
        logits: `[M, V]`, in the order of the positions.
        targets: int64 `[M]`, the labels there; -100 at rows that pad to a shape.
        rows: int64 `[M]`, the blocks of the batch that they are from.
    """

    logits: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor


class MaskedHead:
    """Computes the logits at the masked positions; on all rows if the model does not allow less.

    The first batch decides: the head compares the logits of both ways once.

    Args:
        model: a masked language model of transformers, not wrapped.
        allowed: False always runs the head on all rows.
        last_layer: False runs the whole last layer on all rows.
        sharded: what divides the weights among processes (`FSDP`), which then decide together.
        static: for a compiled model: pad the number of rows to a few shapes, and keep the hooks,
            which do nothing in other calls, on the model, since it is compiled with them.
        documents: keeps the documents of a row apart, where the inputs have `document_ids`.

    Attributes:
        scope: what runs on masked rows only: `ALL_ROWS` (nothing), `MASKED_ROWS` (the head) or
            `LAST_LAYER_TOO`; None before the first batch.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        allowed: bool = True,
        last_layer: bool = True,
        sharded: str | None = None,
        static: bool = False,
        documents: DocumentAttention | None = None,
    ) -> None:
        self.model = model
        self._documents = documents
        self.scope: str | None = None
        # PEFT's adapters lie inside of the base model, and around the head.
        inner = without_adapters(model)
        base = getattr(inner, "base_model", inner)
        self._base: Any = base if allowed and base is not inner else None
        self._try_last_layer = last_layer
        self._sharded = sharded
        self._agree = bool if sharded is None else holds_everywhere
        self._static = static
        self._selection = RowSelection()
        self._last_layer: LastLayer | None = None
        self._handles: list[Any] = []

    def __call__(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        labels: torch.Tensor,
        positions: torch.Tensor | None = None,
        *,
        pad: bool = True,
    ) -> MaskedLogits:
        """Run `model`, the head's own model or a wrapper of it.

        Args:
            model: the model to call.
            inputs: its arguments without labels; `input_ids` is `[B, L]`. `document_ids`, int32
                `[B, L]`, numbers the documents of each row, -1 at padding.
            labels: int64 `[B, L]`, -100 at positions that are not masked.
            positions: int64 `[M]`, where labels are not -100, flat into `B * L`; None computes
                them, which synchronizes with a GPU.
            pad: False keeps the number of rows for a compiled model, too.
        """
        if DOCUMENT_IDS in inputs and self._documents is not None:
            self._documents.separates(inputs["input_ids"])  # the trial, before any hook
        if self.scope is None:
            self._prepare(inputs, labels)
        if self._last_layer is not None and self._loses_rows(self._last_layer):
            # Checkpointing was enabled after the first batch, which was of an evaluation.
            self._detach()
            self._last_layer, self.scope = None, MASKED_ROWS
        if positions is None:
            positions = find_positions(labels)
        if self.scope == ALL_ROWS:
            return at_masks(self._logits(model, inputs), labels, positions)
        targets = labels.flatten()[positions]
        self._selection.checkpointed = is_checkpointing(self.model) and not self._static
        if self._static and pad:
            positions, targets = _pad_rows(positions, targets, labels.numel())
        if not self._handles:
            self._handles = self._attach()
        try:
            with self._selecting(positions, labels):
                logits = self._logits(model, inputs)
        finally:
            # A checkpointed layer needs them again in the backward pass.
            if not (self._static or self._selection.checkpointed):
                self._detach()
        rows = positions // labels.shape[1]
        return MaskedLogits(logits.reshape(-1, logits.shape[-1]), targets, rows)

    def _prepare(self, inputs: dict[str, Any], labels: torch.Tensor) -> None:
        """Determine on two rows of a batch what can run on masked rows only, and log it."""
        self.scope = ALL_ROWS
        if self._base is not None:
            with fp32_eval(self.model, labels.device):
                self.scope = self._try_scopes(two_rows(inputs), labels[:2])
        if self._sharded and self._base is not None and self.scope == ALL_ROWS:
            logger.warning(
                "under %s, this %s model gives other logits on masked rows alone: its head runs on "
                "all rows",
                self._sharded,
                getattr(getattr(self.model, "config", None), "model_type", "PyTorch"),
            )
        logger.info("the head runs on %s", self.scope)

    def remove_hooks(self) -> None:
        """Remove the hooks that stay on a compiled model; the next call registers them again."""
        self._detach()
        if self._documents is not None:
            self._documents.remove_hooks()

    @property
    def keeps_documents_apart(self) -> bool:
        """Whether documents are kept apart, as far as batches have shown."""
        return self._documents is not None and self._documents.reason is None

    @contextmanager
    def separated(self, inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Keep documents apart in the calls of the model inside the context, if it does so.

        Args:
            inputs: as in a call, with or without `document_ids`.

        Yields:
            The arguments to call the model with.
        """
        given = {name: value for name, value in inputs.items() if name != DOCUMENT_IDS}
        documents = self._documents if DOCUMENT_IDS in inputs else None
        if documents is None or not documents.separates(inputs["input_ids"]):
            yield given
            return
        with documents.applied(given, inputs[DOCUMENT_IDS]) as arguments:
            yield arguments

    def _logits(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        with self.separated(inputs) as arguments:
            return model(**arguments).logits

    def _try_scopes(self, inputs: dict[str, Any], labels: torch.Tensor) -> str:
        trial = torch.full_like(labels, IGNORED)
        trial[:, 1::3] = 0
        positions = find_positions(trial)
        try:
            layers = layers_of(self._base) if self._try_last_layer else []
            with recording(layers) as calls:
                computed = at_masks(self._logits(self.model, inputs), trial, positions).logits
        except Exception:  # noqa: BLE001 - the training will raise it again
            return ALL_ROWS
        dense, half = computed.float(), computed.dtype != torch.float32
        # Half precision agrees too roughly to be sure of a layer, and of weights that are divided
        # there is no copy in full precision to try.
        if calls and not (half and self._sharded):
            self._last_layer = find_last_layer(
                calls, positions, labels, self._selection, self._agree
            )
        del calls
        if self._last_layer is not None and self._loses_rows(self._last_layer):
            self._last_layer = None
        if self._last_layer is not None:
            if self._agree(self._agrees(inputs, labels, positions, dense, half=half)):
                return LAST_LAYER_TOO
            self._last_layer = None
        agrees = self._agree(self._agrees(inputs, labels, positions, dense, half=half))
        return MASKED_ROWS if agrees else ALL_ROWS

    def _agrees(
        self,
        inputs: dict[str, Any],
        labels: torch.Tensor,
        positions: torch.Tensor,
        dense: torch.Tensor,
        *,
        half: bool,
    ) -> bool:
        handles = self._attach()
        try:
            with self._selecting(positions, labels):
                sparse = self._logits(self.model, inputs).float()
        except Exception:  # noqa: BLE001 - a model may fail on fewer rows with any exception
            return False
        finally:
            _remove(handles)
        sparse = sparse.reshape(-1, sparse.shape[-1])
        # The same head on the same numbers: equal up to rounding at another shape.
        tolerance = (2e-2 if half else 1e-4) * dense.abs().max().item()
        return sparse.shape == dense.shape and torch.allclose(sparse, dense, rtol=0, atol=tolerance)

    def _loses_rows(self, last: LastLayer) -> bool:
        """Whether the last layer would run again without its rows.

        They are found by the address of the hidden states, which a compiled layer has not.
        """
        again = self._static or not repeats_hooks(last.layer.module)
        return again and is_checkpointing(self.model)

    @contextmanager
    def _selecting(self, positions: torch.Tensor, labels: torch.Tensor) -> Iterator[None]:
        self._selection.select(positions, labels)
        try:
            yield
        finally:
            self._selection.positions = None

    def _attach(self) -> list[Any]:
        inside = [] if self._last_layer is None else self._last_layer.attach()
        return [*inside, self._base.register_forward_hook(self._keep_rows)]

    def _detach(self) -> None:
        _remove(self._handles)
        self._handles = []

    def _keep_rows(self, _module: Any, _args: Any, output: Any) -> Any:
        if self._selection.positions is None:
            return None
        rows = self._selection.take(output[0])
        self._selection.positions = None
        if isinstance(output, tuple):
            return (rows, *output[1:])
        output.last_hidden_state = rows
        return output


def at_masks(
    logits: torch.Tensor, labels: torch.Tensor, positions: torch.Tensor | None = None
) -> MaskedLogits:
    """Select the masked positions from all logits.

    Args:
        logits: `[B, L, V]`.
        labels: int64 `[B, L]`, -100 at positions that are not masked.
        positions: int64 `[M]`, from `find_positions`.
    """
    if positions is None:
        positions = find_positions(labels)
    picked = logits.reshape(-1, logits.shape[-1])[positions]
    return MaskedLogits(picked, labels.flatten()[positions], positions // labels.shape[1])


def find_positions(labels: torch.Tensor) -> torch.Tensor:
    """Return where labels `[B, L]` are not -100: int64 `[M]`, ascending, flat into `B * L`.

    The shape depends on the data: on a GPU this synchronizes.
    """
    return (labels.flatten() != IGNORED).nonzero()[:, 0]


def _remove(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()


def _pad_rows(
    positions: torch.Tensor, targets: torch.Tensor, tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad the rows to a multiple of about 3 % of the batch, with row 0 and no label.

    Without it, the number differs from batch to batch and would be compiled as dynamic; and a batch
    without masked tokens would have no rows at all.
    """
    step = max(8, 1 << (tokens // 64).bit_length())
    missing = max(step, -(-len(positions) // step) * step) - len(positions)
    pad = torch.nn.functional.pad
    return pad(positions, (0, missing)), pad(targets, (0, missing), value=IGNORED)
