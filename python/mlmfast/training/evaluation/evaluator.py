"""A model in evaluation mode, restored afterwards."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch

from mlmfast.training.model.documents.document_attention import DocumentAttention
from mlmfast.training.model.loss import per_block_metrics
from mlmfast.training.model.masked_head import DOCUMENT_IDS, MaskedHead
from mlmfast.training.model.masked_rows import find_positions
from mlmfast.training.model.precision import choose_precision, default_device
from mlmfast.training.model.wrapped_forward import forward_of, set_forward, without_wrappers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tqdm import tqdm

    from mlmfast.training.block_dataset import BlockDataset
    from mlmfast.training.model.documents.mode import DocumentMode


class Evaluator:
    """Evaluates a model on batches of blocks; create it with `evaluating`.

    Attributes:
        precision: `fp32` or `bf16`.
        documents: `separate` after a batch whose documents were kept apart, otherwise `joined`.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        device: torch.device,
        precision: str,
        documents: DocumentMode | None = None,
    ) -> None:
        self.precision = precision
        self.documents: DocumentMode = "joined"
        self._network = network
        self._device = device
        self._head = MaskedHead(
            network,
            documents=None
            if documents == "joined"
            else DocumentAttention(network, required=documents == "separate"),
        )

    def row_counts(
        self,
        inputs: dict[str, torch.Tensor],
        labels: torch.Tensor,
    ) -> torch.Tensor:
        """Compute `training.model.loss.per_block_metrics`, `[B, 4]`, on the device of the model.

        Args:
            inputs: the arguments of the model; `input_ids` is `[B, L]`. With `document_ids`,
                attention stays inside documents.
            labels: int64 `[B, L]`, -100 at positions that are not masked.
        """
        inputs = {name: tensor.to(self._device) for name, tensor in inputs.items()}
        # On the CPU: on a GPU, this would synchronize.
        positions = find_positions(labels).to(self._device)
        labels = labels.to(self._device)
        autocast = (
            torch.autocast(self._device.type, torch.bfloat16)
            if self.precision == "bf16"
            else nullcontext()
        )
        with torch.no_grad(), autocast:
            masked = self._head(self._network, inputs, labels, positions)
            if DOCUMENT_IDS in inputs and self._head.keeps_documents_apart:
                self.documents = "separate"
            return per_block_metrics(masked, len(labels))

    def block_counts(self, blocks: BlockDataset, batch_size: int, bar: tqdm) -> np.ndarray:
        """Compute for each block: summed loss, top-1 hits, top-5 hits, masked tokens.

        Returns:
            float64 `[N, 4]`; synchronizes with the device once, at the end.
        """
        counts = []
        for first in range(0, len(blocks), batch_size):
            numbers = range(first, min(first + batch_size, len(blocks)))
            inputs = blocks.__getitems__(numbers)
            labels = inputs.pop("labels")
            counts.append(self.row_counts(inputs, labels))
            bar.update(len(numbers))
        return torch.cat(counts).cpu().double().numpy()


@contextmanager
def evaluating(
    network: torch.nn.Module,
    device: str | None,
    precision: str,
    documents: DocumentMode | None = None,
) -> Iterator[Evaluator]:
    """Move a model to a device in evaluation mode; restore device and mode on exit.

    Args:
        network: a masked language model.
        device: a torch device; None takes the GPU if there is one.
        precision: `fp32`, `bf16` or `auto`; see `choose_precision`.
        documents: whether batches with `document_ids` are read document by document; None where
            the model proves that it does.
    """
    target = torch.device(device or default_device())
    choice = choose_precision(precision, target.type)
    modes = [(module, module.training) for module in network.modules()]
    home, forward = next(network.parameters()).device, forward_of(network)
    try:
        # A Trainer may have left autocast around `forward`.
        set_forward(network, without_wrappers(network))
        network.to(target).eval()
        yield Evaluator(network, target, choice.name, documents)
    finally:
        network.to(home)
        set_forward(network, forward)
        for module, training in modes:
            module.training = training
