"""The same model with another vocabulary: each table of the vocabulary gets new rows."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForMaskedLM

from mlmfast.errors import InputError, first_line
from mlmfast.torch_models import text_config
from mlmfast.vocabulary.model.config_ids import replace_ids, set_vocab_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PretrainedConfig, PreTrainedModel

    from mlmfast.vocabulary.model.sources import RowSources

_TRIED_ROWS, _TRIED_LENGTH = 2, 12


def rebuild(
    model: PreTrainedModel, sources: RowSources, new_id: Callable[[str, int], int | None]
) -> PreTrainedModel:
    """Return the model with another vocabulary, on the CPU.

    The tables are the parameters and buffers whose size follows from the configuration's
    `vocab_size`: embeddings, the decoder (tied or not) and its bias, of any model type. The rest is
    the same. The result is tried: where its rows are copies, it has the logits of `model`.

    Args:
        model: a masked language model of transformers, evaluating, on the CPU.
        sources: the new rows.
        new_id: from a field of the configuration and an id in it to the new id.

    Raises:
        InputError: the vocabulary of this type of model cannot be changed.
    """
    config = copy.deepcopy(model.config)
    set_vocab_size(config, len(sources))
    replace_ids(config, new_id)
    shift = _shift_positions(model, config)
    new = _built(config, model.dtype)
    if (padding := position_padding(new)) is not None and padding != config.pad_token_id:
        raise InputError(
            f"A {config.model_type} model numbers positions from the padding with the id "
            f"{padding}, but in the new vocabulary the padding has the id {config.pad_token_id}: "
            f"make a tokenizer whose padding has the id {padding}."
        )
    weights, wanted = model.state_dict(), new.state_dict()
    tables = _tables(model)
    for name in wanted:
        old = weights.get(name)
        if old is None:
            raise _refusal(model, f"it lacks {name}")
        if name in tables:
            weights[name] = sources.table(old, tables[name])
        elif old.shape != wanted[name].shape and shift and "position" in name:
            weights[name] = _shifted(old, wanted[name], shift)
    try:
        new.load_state_dict(weights)
    except RuntimeError as error:
        raise _refusal(model, first_line(error, 2)) from error
    new.tie_weights()
    if getattr(model, "generation_config", None) is not None:
        new.generation_config = copy.deepcopy(model.generation_config)
        replace_ids(new.generation_config, new_id)
    new.eval()
    _check(model, new, sources)
    return new


def position_padding(model: torch.nn.Module) -> int | None:
    """Return the id of the padding from which a model numbers positions; None if it does not."""
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == "position_embeddings":
            padding = getattr(module, "padding_idx", None)
            if padding is not None:
                return int(padding)
    return None


def _built(config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    try:
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
            return AutoModelForMaskedLM.from_config(config, dtype=dtype)
    except (RuntimeError, ValueError, KeyError, AssertionError) as error:
        raise InputError(
            f"A {config.model_type} model cannot have {config.vocab_size:,} tokens: "
            f"{first_line(error)}"
        ) from error


def _tables(model: PreTrainedModel) -> dict[str, int]:
    """Return every parameter and buffer with the vocabulary as a dimension, and the dimension.

    Raises:
        InputError: there is none.
    """
    config = copy.deepcopy(model.config)
    rows = text_config(config).vocab_size
    set_vocab_size(config, rows + 1)
    with torch.device("meta"):
        other = _built(config, model.dtype).state_dict()
    found = {
        name: dimension
        for name, weight in model.state_dict().items()
        if name in other
        for dimension, size in enumerate(weight.shape)
        if other[name].shape[dimension] == size + 1 == rows + 1
    }
    if not found:
        raise _refusal(model, "no table of it follows the size of the vocabulary")
    return found


def _shift_positions(model: PreTrainedModel, config: PretrainedConfig) -> int:
    """Move the positions of a model that numbers them from its padding; return by how many."""
    before = position_padding(model)
    if before is None or config.pad_token_id is None:
        return 0
    shift = int(config.pad_token_id) - before
    config.max_position_embeddings += shift
    return shift


def _shifted(old: torch.Tensor, wanted: torch.Tensor, shift: int) -> torch.Tensor:
    """Move the rows of a table of positions `[n, H]` by `shift`, to `[n + shift, H]`.

    Buffers of consecutive numbers, `[1, n]`, are computed again and need no move.
    """
    if old.dim() != 2 or old.shape[0] == 1:
        return wanted
    new = torch.zeros_like(wanted)
    if shift > 0:
        new[shift:] = old
    else:
        new[:] = old[-shift:]
    return new


@torch.no_grad()
def _check(model: PreTrainedModel, new: PreTrainedModel, sources: RowSources) -> None:
    """Raise InputError unless the new model has the old logits at the rows that are copies."""
    copied = sources.copied
    if not len(copied):
        return
    picks = torch.arange(_TRIED_ROWS * _TRIED_LENGTH) * 7919 % len(copied)
    ids = copied[picks].reshape(_TRIED_ROWS, _TRIED_LENGTH)
    mask = torch.ones_like(ids)
    pad = text_config(new.config).pad_token_id
    if pad is not None and pad not in sources.mixtures:
        ids[-1, -3:] = pad  # so that the padding is tried as well
        mask[-1, -3:] = 0
    # FNet has no attention, and takes no mask.
    takes_mask = "attention_mask" in inspect.signature(model.forward).parameters
    masks = {"attention_mask": mask} if takes_mask else {}
    before = model(input_ids=sources.copies[ids], **masks).logits.float()
    after = new(input_ids=ids, **masks).logits.float()
    before, after = before[..., sources.copies[copied]], after[..., copied]
    # Products with fewer columns may sum in another order.
    tolerance = (1e-5 if model.dtype == torch.float32 else 3e-2) * before.abs().max().item()
    # Perceiver answers for every position that it could have.
    where = mask.bool() if before.shape[:2] == mask.shape else slice(None)
    if not torch.allclose(before[where], after[where], rtol=0, atol=tolerance):
        raise _refusal(model, "with the same rows it has other logits")


def _refusal(model: Any, reason: str) -> InputError:
    return InputError(
        f"The vocabulary of a {model.config.model_type} model cannot be changed: {reason}."
    )
