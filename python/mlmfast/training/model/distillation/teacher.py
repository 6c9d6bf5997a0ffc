"""The teacher of a distillation: its answers at the masked tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlmfast.errors import InputError
from mlmfast.training.model.masked_head import MaskedHead
from mlmfast.training.model.masked_rows import MaskedLogits

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mlmfast.training.model.documents.document_attention import DocumentAttention


class Teacher:
    """Runs a model without gradients and dropout, its head on the masked rows as in a training.

    Args:
        model: a masked language model of transformers; it is moved to the device, and its
            parameters are frozen.
        device: where it runs.
        hidden: whether its answers have hidden states.
        documents: keeps the documents of a row apart; None where attention crosses them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        device: torch.device,
        *,
        hidden: bool,
        documents: DocumentAttention | None = None,
    ) -> None:
        self.model: Any = model.to(device).eval().requires_grad_(requires_grad=False)
        self.head = MaskedHead(self.model, hidden=hidden, documents=documents, owner="teacher's ")

    @torch.no_grad()
    def __call__(
        self, inputs: dict[str, Any], labels: torch.Tensor, positions: torch.Tensor
    ) -> MaskedLogits:
        """Answer a batch, with the arguments of `MaskedHead`."""
        return self.head(self.model, inputs, labels, positions)


def check_same_vocabulary(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    """Raise InputError unless both models have as many tokens."""
    ours, theirs = (_tokens(model) for model in (student, teacher))
    if ours != theirs:
        raise InputError(
            f"The student has {ours:,} tokens and its teacher {theirs:,}: the teacher's answers "
            "are shares of its own vocabulary. Make the student from the teacher's layers "
            f"(--student-layers), or give it as many (--config-overrides vocab_size={theirs})."
        )


def _tokens(model: PreTrainedModel) -> int:
    embeddings: Any = model.get_input_embeddings()
    return int(embeddings.num_embeddings)
