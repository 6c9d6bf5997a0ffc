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
from typing import Any

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
from mlmfast.training.model.masked_rows import (
    IGNORED,
    MaskedLogits,
    at_masks,
    find_positions,
    pad_rows,
)
from mlmfast.training.model.sharding import holds_everywhere

logger = logging.getLogger(__name__)

DOCUMENT_IDS = "document_ids"

ALL_ROWS = "all rows"
MASKED_ROWS = "masked rows"
LAST_LAYER_TOO = "masked rows, last layer too"


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
        hidden: also return the last hidden states.
        owner: whose head it is, for the log, such as `"teacher's "`.

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
        hidden: bool = False,
        owner: str = "",
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
        self._returns_hidden = hidden
        self._keeps_hidden = False  # during a call that returns them
        self._hidden: torch.Tensor | None = None
        self._owner = owner

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
            return self._on_all_rows(model, inputs, labels, positions)
        targets = labels.flatten()[positions]
        self._selection.checkpointed = is_checkpointing(self.model) and not self._static
        if self._static and pad:
            positions, targets = pad_rows(positions, targets, labels.numel())
        if not self._handles:
            self._handles = self._attach()
        try:
            with self._selecting(positions, labels):
                self._keeps_hidden = self._returns_hidden
                logits = self._logits(model, inputs)
        finally:
            self._keeps_hidden = False
            # A checkpointed layer needs them again in the backward pass.
            if not (self._static or self._selection.checkpointed):
                self._detach()
        rows = positions // labels.shape[1]
        hidden, self._hidden = self._hidden, None
        if hidden is not None:
            hidden = hidden.reshape(-1, hidden.shape[-1])
        return MaskedLogits(logits.reshape(-1, logits.shape[-1]), targets, rows, hidden)

    def _on_all_rows(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        labels: torch.Tensor,
        positions: torch.Tensor,
    ) -> MaskedLogits:
        if not self._returns_hidden or self._base is None:
            return at_masks(self._logits(model, inputs), labels, positions)
        kept: list[torch.Tensor] = []
        handle = self._base.register_forward_hook(
            lambda _module, _args, output: kept.append(output[0])
        )
        try:
            masked = at_masks(self._logits(model, inputs), labels, positions)
        finally:
            handle.remove()
        if kept[-1].shape[:2] != labels.shape:
            return masked
        return masked._replace(hidden=kept[-1].flatten(0, 1)[positions])

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
        logger.info("the %shead runs on %s", self._owner, self.scope)

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
        if self._selection.positions is None and not self._keeps_hidden:
            return None
        rows = self._selection.take(output[0])  # all that there are, if the last layer took them
        self._selection.positions = None
        if self._keeps_hidden:
            self._hidden = rows
        if isinstance(output, tuple):
            return (rows, *output[1:])
        output.last_hidden_state = rows
        return output


def _remove(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()
