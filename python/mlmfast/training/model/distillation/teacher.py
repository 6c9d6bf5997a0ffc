"""The teacher of a distillation: its answers at the masked tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlmfast.errors import InputError
from mlmfast.torch_models import text_config
from mlmfast.training.model.masked_head import MaskedHead
from mlmfast.training.model.masked_rows import MaskedLogits

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainingArguments

    from mlmfast.training.model.documents.document_attention import DocumentAttention


class Teacher:
    """Runs a model without gradients and dropout, its head on the masked rows as in a training.

    Args:
        model: a masked language model of transformers; it is moved to the device, and its
            parameters are frozen.
        device: where it runs.
        hidden: whether its answers have hidden states.
        half: the dtype in which autocast computes; None for float32.
        documents: keeps the documents of a row apart; None where attention crosses them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        device: torch.device,
        *,
        hidden: bool,
        half: torch.dtype | None = None,
        documents: DocumentAttention | None = None,
    ) -> None:
        self.model: Any = model.to(device).eval().requires_grad_(requires_grad=False)
        self.device = device
        self._half = half
        self.head = MaskedHead(self.model, hidden=hidden, documents=documents, owner="teacher's ")

    @torch.no_grad()
    def __call__(
        self, inputs: dict[str, Any], labels: torch.Tensor, positions: torch.Tensor
    ) -> MaskedLogits:
        """Answer a batch, with the arguments of `MaskedHead`."""
        enabled = self._half is not None
        with torch.autocast(self.device.type, self._half, enabled=enabled):
            return self.head(self.model, inputs, labels, positions)


def check_same_vocabulary(student: PreTrainedModel, theirs: int) -> None:
    """Raise InputError unless a student has as many tokens as its teacher."""
    ours = count_tokens(student)
    if ours != theirs:
        raise InputError(
            f"The student has {ours:,} tokens and its teacher {theirs:,}: the teacher's answers "
            "are shares of its own vocabulary. Make the student from the teacher's layers "
            f"(--student-layers), or give it as many (--config-overrides vocab_size={theirs})."
        )


def count_tokens(model: PreTrainedModel) -> int:
    """Return the number of a model's embeddings."""
    embeddings: Any = model.get_input_embeddings()
    return int(embeddings.num_embeddings)


def hidden_size(model: torch.nn.Module) -> int | None:
    """Return the width of a model's hidden states; None if its configuration does not say."""
    width = getattr(text_config(getattr(model, "config", None)), "hidden_size", None)
    return None if width is None else int(width)


def half_of(args: TrainingArguments) -> torch.dtype | None:
    """Return the dtype in which autocast computes in a training; None for float32."""
    if args.bf16:
        return torch.bfloat16
    return torch.float16 if args.fp16 else None
