"""Attention inside documents, for any model that proves it: `DocumentAttention`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from mlmfast.errors import InputError
from mlmfast.peft_models import without_adapters
from mlmfast.torch_models import max_input_length
from mlmfast.training.model.checkpointing import is_checkpointing
from mlmfast.training.model.documents.attention import DocumentMask
from mlmfast.training.model.documents.layout import PADDING, Documents
from mlmfast.training.model.documents.mask_slots import (
    HIDDEN_KEYS,
    MaskForm,
    MaskSlot,
    find_slots,
    replace_masks,
)
from mlmfast.training.model.documents.positions import NoPositions, Positions, position_ways
from mlmfast.training.model.documents.token_dropout import scale_by_document
from mlmfast.training.model.documents.trial import (
    error_line,
    logits_alone,
    trial_documents,
    trial_ids,
)
from mlmfast.training.model.fp32_eval import fp32_eval

logger = logging.getLogger(__name__)

_SHORTEST = 12
# Relative to the largest logit: other shapes change the order of the sums in a product.
_ROUNDING = 1e-5
_ROUNDING_HALF = 2e-2


class DocumentAttention:
    """Runs a model on rows of several documents, each document as if it were alone.

    No model type is known by name. The first batch decides: the logits of documents that share a
    row must equal those of each document alone, or attention stays as it is, with a reason.

    Args:
        model: a masked language model of transformers, not wrapped.
        required: raise an error if the model does not keep documents apart.
        static: for a compiled model: masks are plain tensors, and the hooks stay on the model.

    Attributes:
        reason: why the model does not keep documents apart; None if it does, or before the trial.
    """

    def __init__(
        self, model: torch.nn.Module, *, required: bool = False, static: bool = False
    ) -> None:
        # PEFT's wrapper has the arguments of no model; its adapters lie inside.
        self.model: Any = without_adapters(model)
        self.reason: str | None = None
        self._base: torch.nn.Module = getattr(self.model, "base_model", self.model)
        self._required = required
        self._static = static
        self._tried = 0
        self._slots: list[MaskSlot] = []
        self._positions: Positions = NoPositions()
        self._current: Documents | None = None
        self._masks: dict[MaskForm, torch.Tensor] = {}
        # Masks of the model in the present call, with what replaces them.
        self._restricted: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._handles: list[Any] = []
        self._is_long = self._segments = False

    def separates(self, input_ids: torch.Tensor) -> bool:
        """Return whether the model keeps documents apart; the first and longer batches try it.

        Args:
            input_ids: int64 `[B, L]`, any batch.

        Raises:
            InputError: it does not, and is `required` to.
        """
        if input_ids.shape[1] > self._tried and self.reason is None:
            # Some types attend differently in long rows.
            self._tried = input_ids.shape[1]
            with fp32_eval(self.model, input_ids.device):
                self.reason = self._try(trial_ids(self.model, input_ids))
            self._report()
        return self.reason is None

    @contextmanager
    def applied(
        self, inputs: dict[str, Any], document_ids: torch.Tensor
    ) -> Iterator[dict[str, Any]]:
        """Keep documents apart in the calls of the model inside the context.

        Layers that run again in the backward pass need the documents until then: there they stay
        until the next call.

        Args:
            inputs: the arguments of the model; `input_ids` is `[B, L]`.
            document_ids: int32 `[B, L]`, as `Documents` takes them.

        Yields:
            The arguments to call the model with.
        """
        documents = Documents(document_ids)
        self._current, self._restricted = documents, []
        self._masks = {slot.form: self._mask(slot.form, documents) for slot in self._slots}
        if not self._handles:
            self._handles = [
                *replace_masks(self._slots, self._mask_for),
                *self._positions.attach(lambda: self._current),
                *scale_by_document(self.model, lambda: self._current),
            ]
        # Padding is a document of its own, which no other sees.
        given = {name: value for name, value in inputs.items() if name != "attention_mask"}
        given |= self._positions.arguments(documents)
        if self._segments and "token_type_ids" not in given:
            given["token_type_ids"] = torch.zeros_like(given["input_ids"])
        try:
            yield given
        finally:
            if not (torch.is_grad_enabled() and is_checkpointing(self.model)):
                self._forget()

    def remove_hooks(self) -> None:
        """Remove the hooks that stay on a compiled model; the next call registers them again."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._current = [], None
        self._masks, self._restricted = {}, []

    def _forget(self) -> None:
        self._current, self._masks, self._restricted = None, {}, []
        if not self._static:
            self.remove_hooks()

    def _report(self) -> None:
        kind = getattr(getattr(self.model, "config", None), "model_type", "this model")
        if self.reason is None:
            logger.info("attention stays inside documents; documents=joined lets it cross them")
        elif self._required or self._is_long:
            raise InputError(
                f"{kind} cannot keep documents apart: {self.reason}. Train and evaluate it with "
                "documents=joined (--documents joined), on blocks no longer than its positions."
            )
        else:
            logger.warning("attention crosses documents: %s cannot, as %s", kind, self.reason)

    def _mask(self, form: MaskForm, documents: Documents) -> torch.Tensor:
        mask = form.of(documents.same)
        if self._static or form.dims != 4:
            return mask
        return DocumentMask.of(mask, documents, plain=True)

    def _mask_for(self, form: MaskForm, own: torch.Tensor | None) -> torch.Tensor | None:
        """Return the mask of the documents in place of the model's own."""
        documents = self._current
        if documents is None or isinstance(own, DocumentMask):
            return own
        if own is None or not form.has_pairs(own):
            return self._masks[form]
        if self._static:
            # Whether the mask drops pairs is data, which a compiled model cannot branch on.
            return form.restrict(own, documents.same)
        for known, mask in self._restricted:  # all layers of a kind receive the same mask
            if known is own:
                return mask
        if bool((own == form.keep).all()):
            mask = self._masks[form]
        else:
            mask = DocumentMask.of(form.restrict(own, documents.same), documents, plain=False)
        self._restricted.append((own, mask))
        return mask

    def _try(self, ids: torch.Tensor) -> str | None:
        """Compare packed documents with documents alone; return why they differ, or None."""
        if ids.shape[1] < _SHORTEST:
            return f"rows of {ids.shape[1]} tokens are too short to try it"
        if getattr(getattr(self.model, "config", None), "attention_type", "") == "block_sparse":
            # BigBird changes to full attention for good once a text is short, as in the trial.
            return "its attention is block_sparse (attention_type=original_full has masks)"
        known = inspect.signature(self.model.forward).parameters
        if "attention_mask" not in known:
            return "its layers take no attention mask"
        positions = max_input_length(self.model)
        longest = min(ids.shape[1], positions.usable if positions else ids.shape[1])
        self._is_long = longest < ids.shape[1]
        # Some types slice a buffer of segments that is as long as their table of positions.
        self._segments = self._is_long and "token_type_ids" in known
        document_ids = trial_documents(ids, longest)
        short = ids[:, :longest]
        shown = torch.ones_like(short)
        shown[0, -HIDDEN_KEYS:] = 0
        try:
            self._slots = find_slots(
                self._base, lambda: self.model(input_ids=short, attention_mask=shown), longest
            )
            if not self._slots:
                return "its layers take no attention mask"
            alone = logits_alone(self.model, ids, document_ids)
            ways = list(position_ways(self.model, ids[:1, document_ids[0] == 0]))
        except Exception as error:  # noqa: BLE001 - a model may fail with any exception
            return f"it fails on a document alone ({error_line(error)})"
        reasons = []
        for way in ways:
            self._positions = way
            reason = self._try_packed(ids, document_ids, alone)
            if reason is None:
                return None
            reasons.append(reason)
        return reasons[0]

    def _try_packed(
        self, ids: torch.Tensor, document_ids: torch.Tensor, alone: torch.Tensor
    ) -> str | None:
        try:
            packed = self._packed(ids, document_ids)
        except Exception as error:  # noqa: BLE001
            return f"it fails on packed documents ({error_line(error)})"
        if packed.shape != alone.shape:
            return "its logits do not lie as batch, length, vocabulary"
        real = document_ids != PADDING
        difference = (packed - alone)[real].abs().max().item()
        half = packed.dtype != torch.float32
        if difference > (_ROUNDING_HALF if half else _ROUNDING) * alone.abs().max().item():
            return f"the logits differ by {difference:.1e} from those of the documents alone"
        if half:
            # The tolerance may hide a small influence: a document's logits do not change at all
            # if the others do.
            first = document_ids == 0
            other = self._packed(torch.where(first, ids, ids.flip(1)), document_ids)
            if not torch.equal(other[first], packed[first]):
                return "the logits of a document depend on others in its row"
        return None

    def _packed(self, ids: torch.Tensor, document_ids: torch.Tensor) -> torch.Tensor:
        try:
            with self.applied({"input_ids": ids}, document_ids) as inputs:
                return self.model(**inputs).logits
        finally:
            self.remove_hooks()
