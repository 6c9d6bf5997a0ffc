"""Embeddings for tokens that were added to the tokenizer of a checkpoint."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.data.tokenization.added_tokens import missing_tokens
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore
    from mlmfast.data.tokenization.load import LoadedTokenizer

logger = logging.getLogger(__name__)

# Parameters, each with the dimension that is the vocabulary.
Rows = list[tuple[torch.nn.Parameter, int]]


def add_missing_rows(model: Any, tokens: int, name: str | Path) -> None:
    """Add rows to a checkpoint for a larger tokenizer, as run_mlm.py does, with a warning.

    Args:
        model: a masked language model of transformers, changed in place.
        tokens: the number of ids of the tokenizer.
        name: the name of the checkpoint, for the log.
    """
    rows = model.get_input_embeddings().num_embeddings
    if tokens <= rows:
        return
    logger.warning(
        "The tokenizer has %d tokens, the model %s %d: it gets %d new rows.",
        tokens,
        name,
        rows,
        tokens - rows,
    )
    model.resize_token_embeddings(tokens)


def resize_embeddings(model: Any, before: LoadedTokenizer, after: LoadedTokenizer) -> int:
    """Add rows for new tokens to a masked language model; its old rows stay as they are.

    Each new row of the embeddings, of the decoder (tied or not) and of its bias is the mean of the
    rows of the pieces that the old tokenizer splits the token into: the new token starts close to
    them, with the geometric mean of their probabilities (up to the normalization of the softmax).

    Args:
        model: a masked language model of transformers, changed in place.
        before: the tokenizer of the checkpoint.
        after: the same tokenizer with more tokens.

    Returns:
        The number of new tokens.

    Raises:
        InputError: ids of `before` stand for other tokens in `after`, or the vocabulary of this
            model type cannot grow.
    """
    old, new = before.tokenizer.get_vocab(), after.tokenizer.get_vocab()
    moved = [token for token, index in old.items() if new.get(token) != index]
    if moved:
        raise InputError(
            f"The tokenizer {after.name!r} is not {before.name!r} with more tokens: {moved[0]!r} "
            "has another id there, so the model's rows cannot be kept."
        )
    pieces = {
        index: before.tokenizer.encode(token, add_special_tokens=False).ids
        for token, index in added_tokens(before, after).items()
    }
    if not pieces:
        return 0
    if empty := [index for index, ids in pieces.items() if not ids]:
        token = after.tokenizer.id_to_token(empty[0])
        raise InputError(f"The tokenizer {before.name!r} encodes the token {token!r} to nothing.")
    rows = _resize(model, max(new.values()) + 1)
    with torch.no_grad():
        for parameter, dimension in rows:
            for index, ids in pieces.items():
                old_rows = torch.tensor(ids, device=parameter.device)
                mean = (
                    parameter.index_select(dimension, old_rows)
                    .float()
                    .mean(dimension)
                    .to(parameter.dtype)
                )
                parameter.select(dimension, index).copy_(mean)
    model.tie_weights()
    _check(model, pieces)
    unknown = before.tokenizer.token_to_id(before.tokens.get("unk_token", ""))
    unknown_tokens = sum(set(ids) == {unknown} for ids in pieces.values())
    if unknown_tokens:
        logger.warning(
            "%d of %d new tokens were unknown to the tokenizer: all start as copies of its %s.",
            unknown_tokens,
            len(pieces),
            before.tokens["unk_token"],
        )
    logger.info("%d new tokens: their rows start as the means of their old pieces", len(pieces))
    return len(pieces)


def added_tokens(before: LoadedTokenizer, after: LoadedTokenizer) -> dict[str, int]:
    """Return the tokens that `after` has and `before` lacks, with their ids."""
    old = before.tokenizer.get_vocab()
    return {
        token: index for token, index in after.tokenizer.get_vocab().items() if token not in old
    }


def check_added(store: BlockStore, tokens: Sequence[str]) -> None:
    """Raise InputError if the blocks of a store were prepared without these tokens."""
    missing = missing_tokens(store.tokenizer, tokens)
    if missing:
        raise InputError(
            f"The blocks of {store.path} were prepared without {len(missing)} of the "
            f"{len(tokens)} tokens to add, such as {missing[0]!r}: prepare them with `mlmfast "
            "prepare --add-tokens`, or give the text in place of the blocks."
        )


def _resize(model: Any, needed: int) -> Rows:
    """Enlarge the vocabulary if it is too small; return every parameter with a vocabulary."""
    sizes = {name: parameter.shape for name, parameter in model.named_parameters()}
    if needed > model.get_input_embeddings().num_embeddings:
        try:
            # A few model types override the method without the keyword.
            known = inspect.signature(model.resize_token_embeddings).parameters
            model.resize_token_embeddings(
                needed, **({"mean_resizing": False} if "mean_resizing" in known else {})
            )
        except (NotImplementedError, ValueError, AttributeError, TypeError) as error:
            raise InputError(_refusal(model)) from error
    output = model.get_output_embeddings()
    tables = [model.get_input_embeddings().weight]
    tables += [getattr(output, name, None) for name in ("weight", "bias")]
    rows: Rows = [(each, 0) for each in tables if each is not None]
    for name, parameter in model.named_parameters():
        before = sizes.get(name, parameter.shape)
        rows += [
            (parameter, dimension)
            for dimension, (one, other) in enumerate(zip(before, parameter.shape, strict=True))
            if one != other
        ]
    # Tied weights are one parameter, listed more than once.
    return list({(id(one), dimension): (one, dimension) for one, dimension in rows}.values())


def _check(model: Any, pieces: dict[int, list[int]]) -> None:
    """Raise InputError unless a new token's logit is the mean of its pieces'."""
    length = 8
    checked = [*pieces][:length]
    ids = torch.tensor([([*checked, *pieces[checked[0]]] * length)[:length]])
    ids = ids.to(model.get_input_embeddings().weight.device)
    training = model.training
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0].float()
    model.train(training)
    tolerance = (1e-4 if model.dtype == torch.float32 else 3e-2) * logits.abs().max().item()
    for index in checked:
        mean = logits[:, pieces[index]].mean(-1)
        if not torch.allclose(logits[:, index], mean, rtol=0, atol=tolerance):
            raise InputError(_refusal(model))


def _refusal(model: Any) -> str:
    return (
        f"Models of the type {model.config.model_type} do not support new tokens: train without "
        "--add-tokens."
    )
