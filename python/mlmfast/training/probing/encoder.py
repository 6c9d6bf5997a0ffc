"""A checkpoint's encoder with its tokenizer: texts to ids, ids to one vector a text."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.reference import open_files
from mlmfast.errors import InputError
from mlmfast.torch_models import max_input_length, text_config
from mlmfast.training.model.load import load_model
from mlmfast.training.model.precision import choose_precision, default_device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmfast.training.probing.options import ProbeOptions

logger = logging.getLogger(__name__)
_LONGEST = 512


@dataclass(frozen=True)
class Encoder:
    """The tokenizer of a checkpoint, and how its texts are encoded.

    Attributes:
        source: the folder or the Hub name of the checkpoint.
        tokenizer: its tokenizer of transformers.
        max_length: tokens of the longest text, special tokens included.
    """

    source: str
    tokenizer: Any
    max_length: int

    @property
    def pad_id(self) -> int:
        """The id that fills batches up; it is never attended to."""
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    def encode(self, train: list[str], test: list[str]) -> EncodedTexts:
        """Encode texts with their special tokens, cut to `max_length`."""
        train_ids, train_cut = self._encode(train)
        test_ids, test_cut = self._encode(test)
        return EncodedTexts(train_ids, test_ids, train_cut + test_cut)

    def _encode(self, texts: list[str]) -> tuple[list[list[int]], int]:
        options = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
        ids = self.tokenizer(texts, **options)["input_ids"]
        long = [row for row, each in enumerate(ids) if len(each) > self.max_length]
        for row in long:
            cut = {"truncation": True, "max_length": self.max_length}
            ids[row] = self.tokenizer(texts[row], **cut, **options)["input_ids"]
        return ids, len(long)


@dataclass(frozen=True)
class EncodedTexts:
    """The ids of each text, special tokens included.

    Attributes:
        train: of the training texts, `[N]` lists.
        test: of the test texts, `[M]` lists.
        truncated: how many of them were cut.
    """

    train: list[list[int]]
    test: list[list[int]]
    truncated: int


def open_encoder(source: str, options: ProbeOptions) -> tuple[Encoder, torch.nn.Module]:
    """Load a checkpoint without its head, and its tokenizer.

    Raises:
        NotFoundError: there is no such checkpoint.
        InputError: it has no tokenizer, or not the layer, the pooling or the length of the options.
    """
    tokenizer = open_tokenizer(source)
    model = load_model(source)
    limit = max_input_length(model)
    usable = None if limit is None else limit.usable
    if options.max_length is not None and usable is not None and options.max_length > usable:
        raise InputError(f"max_length is {options.max_length}, but {source} takes {usable} tokens.")
    rows = model.get_input_embeddings().num_embeddings
    if rows < len(tokenizer):
        raise InputError(
            f"{source} knows {rows:,} tokens, but the tokenizer beside it has {len(tokenizer):,}: "
            "they do not belong together."
        )
    layers = int(text_config(model.config).num_hidden_layers)
    if not -layers - 1 <= options.layer <= layers:
        raise InputError(f"layer is {options.layer}, but {source} has the layers 0 to {layers}.")
    if options.pooling == "cls" and tokenizer.cls_token_id is None:
        raise InputError(f"The tokenizer of {source} has no first token to pool: use pooling mean.")
    if options.finetune and tokenizer.pad_token_id is None:
        raise InputError(f"The tokenizer of {source} has no padding token, which batches need.")
    length = options.max_length or min(usable or _LONGEST, _LONGEST)
    return Encoder(source, tokenizer, length), model.base_model


def open_tokenizer(source: str) -> Any:
    """Return the tokenizer of a checkpoint as AutoTokenizer opens it."""
    try:
        loaded = load_tokenizer(source)
    except InputError as error:
        raise InputError(
            f"A probe needs the tokenizer of {source} beside the model. {error}"
        ) from error
    return open_files(source, loaded.files)


def pooled_states(
    network: torch.nn.Module,
    ids: list[list[int]],
    pad_id: int,
    options: ProbeOptions,
) -> np.ndarray:
    """Run the encoder once over each text and pool its states.

    The mean is over all tokens of a text, its special tokens included.

    Args:
        network: the encoder, without its head.
        ids: the ids of each text, `[N]` lists.
        pad_id: the id that fills a batch up.
        options: layer, pooling, batch size, device and precision.

    Returns:
        float32 `[N, hidden_size]`.
    """
    device = torch.device(options.device or default_device())
    precision = choose_precision(options.precision, device.type).name
    network.to(device).eval()
    pooled: dict[int, torch.Tensor] = {}
    bar = tqdm(
        total=len(ids), unit="text", desc="states", disable=None if options.progress else True
    )
    autocast = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
    with bar, torch.no_grad(), autocast:
        for rows in _batches(ids, options.batch_size):
            batch = [torch.tensor(ids[row]) for row in rows]
            inputs = pad_sequence(batch, batch_first=True, padding_value=pad_id)
            lengths = torch.tensor([len(one) for one in batch])
            mask = (torch.arange(inputs.shape[1]) < lengths[:, None]).long().to(device)
            states = _states(network, inputs.to(device), mask, options.layer).float()
            if options.pooling == "cls":
                vectors = states[:, 0]
            else:
                weights = mask[:, :, None] / lengths.to(device)[:, None, None]
                vectors = (states * weights).sum(1)
            pooled.update(zip(rows, vectors.float().cpu(), strict=True))
            bar.update(len(rows))
    return torch.stack([pooled[row] for row in range(len(ids))]).numpy()


def _states(
    network: torch.nn.Module, inputs: torch.Tensor, mask: torch.Tensor, layer: int
) -> torch.Tensor:
    """Return the states of a layer, `[B, L, hidden_size]`."""
    if layer == -1:  # with the norm that some models have after their last layer
        return network(input_ids=inputs, attention_mask=mask).last_hidden_state
    output = network(input_ids=inputs, attention_mask=mask, output_hidden_states=True)
    return output.hidden_states[layer]


def _batches(ids: list[list[int]], size: int) -> Iterator[list[int]]:
    """Yield the rows of texts of similar length; the longest first, which need the most memory."""
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]), reverse=True)
    for first in range(0, len(order), size):
        yield order[first : first + size]
