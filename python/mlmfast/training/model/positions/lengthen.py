"""Extends a masked language model to longer inputs.

Rotary position embeddings are computed, so a configuration with more positions, another base
(`rope_theta`) or a scaling (YaRN, Peng et al. 2023) suffices. A table of learned positions gets new
rows that repeat the old ones, as in Longformer (Beltagy et al. 2020): a model attends to
neighbours wherever they are, and the repeated rows keep that.
"""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForMaskedLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from mlmfast.errors import InputError, first_line
from mlmfast.torch_models import max_input_length, text_config

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from mlmfast.training.options.length import LengthOptions

logger = logging.getLogger(__name__)

# Types whose parameters name the length that the model was trained at.
_WITH_ORIGINAL_LENGTH = ("yarn", "longrope", "llama3")


def lengthened(
    model: PreTrainedModel, options: LengthOptions, *, trust_remote_code: bool = False
) -> PreTrainedModel:
    """Return the model with other positions, and all its other weights.

    Args:
        model: a masked language model of transformers; it shares no weights with the result.
        options: the positions.
        trust_remote_code: whether the model's code is its own.

    Raises:
        InputError: this type of model cannot be extended, or has no rotary position embeddings.
    """
    config = copy.deepcopy(model.config)
    change_positions(config, options)
    try:
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
            new = AutoModelForMaskedLM.from_config(
                config, dtype=model.dtype, trust_remote_code=trust_remote_code
            )
        new.load_state_dict(_fitted(model, new))
        new.tie_weights()
    except InputError:
        raise
    except (RuntimeError, ValueError, KeyError, AssertionError) as error:
        raise InputError(
            f"A {config.model_type} model cannot have the positions {_listed(options)}: "
            f"{first_line(error)}"
        ) from error
    new.eval()
    _check(model, new, options)
    positions = max_input_length(new)
    logger.info("positions: %s; inputs of %s tokens", _listed(options), positions and positions[0])
    return new


def change_positions(config: PretrainedConfig, options: LengthOptions) -> None:
    """Set the positions of a configuration, in the fields of the installed transformers.

    Where layers with full and with sliding attention have parameters of their own (ModernBERT in
    transformers 5), those of full attention change.

    Raises:
        InputError: it has no such fields, or fewer positions are asked for.
    """
    config = text_config(config)
    before = getattr(config, "max_position_embeddings", None)
    if (wanted := options.max_position_embeddings) is not None:
        if not isinstance(before, int) or before < 1:
            raise InputError(
                f"A {config.model_type} model has no limit on positions that "
                f"max_position_embeddings ({wanted}) could raise: leave the option out."
            )
        if wanted < before:
            raise InputError(
                f"max_position_embeddings is {wanted}, but the model has {before}: give more, or "
                "leave the option out and use shorter blocks."
            )
        config.max_position_embeddings = wanted
    rope = _rope(options, before)
    if not rope:
        return
    nested = getattr(config, "rope_parameters", None)
    if isinstance(nested, dict) and nested:  # transformers 5
        parameters = copy.deepcopy(nested)
        changed = parameters.get("full_attention")
        (changed if isinstance(changed, dict) else parameters).update(rope)
        config.rope_parameters = parameters
        return
    if not hasattr(config, "rope_theta"):
        raise InputError(
            f"{' and '.join(name for name in options.given if name.startswith('rope'))} are for "
            f"models with rotary position embeddings; a {config.model_type} model has none that "
            "transformers can change."
        )
    if "rope_theta" in rope:
        config.rope_theta = rope.pop("rope_theta")
    if rope:
        config.rope_scaling = rope


def _rope(options: LengthOptions, before: int | None) -> dict[str, Any]:
    """Return the changed parameters of rotary embeddings, with the defaults of a scaling."""
    rope = options.scaling()
    kind = rope.get("rope_type", "default")
    if kind != "default":
        known = sorted({*ROPE_INIT_FUNCTIONS, "default"})
        if kind not in known:
            raise InputError(f"rope_type is {kind!r}; transformers has {', '.join(known)}.")
        if kind in _WITH_ORIGINAL_LENGTH and before:
            rope.setdefault("original_max_position_embeddings", before)
        if "factor" not in rope:
            if options.max_position_embeddings is None or not before:
                raise InputError(
                    f"rope_scaling {kind} needs a factor (rope_type={kind},factor=4), or "
                    "max_position_embeddings, from which it follows."
                )
            rope["factor"] = options.max_position_embeddings / before
    if options.rope_theta is not None:
        rope["rope_theta"] = float(options.rope_theta)
    return rope


def _fitted(model: PreTrainedModel, new: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the weights of a model, with more rows where the new model has more."""
    weights, wanted = model.state_dict(), new.state_dict()
    positions = max_input_length(model)
    reserved = 0 if positions is None else positions.reserved
    for name, target in wanted.items():
        weight = weights.get(name)
        if weight is None or weight.shape == target.shape:
            continue
        overlap = tuple(slice(size) for size in weight.shape)
        if weight.dim() == target.dim() and torch.equal(target[overlap], weight):
            weights[name] = target  # computed, as sinusoids are
        elif "position" in name and weight.shape[1:] == target.shape[1:]:
            weights[name] = _repeated(weight, len(target), reserved)
        else:
            raise InputError(
                f"A {model.config.model_type} model cannot be extended: its {name} has the shape "
                f"{list(weight.shape)}, and needs {list(target.shape)}."
            )
    return weights


def _repeated(table: torch.Tensor, rows: int, reserved: int) -> torch.Tensor:
    """Repeat the rows of a table `[n, H]` after the reserved ones, to `[rows, H]`."""
    numbers = torch.arange(rows)
    usable = len(table) - reserved
    return table[torch.where(numbers < reserved, numbers, (numbers - reserved) % usable + reserved)]


@torch.no_grad()
def _check(model: PreTrainedModel, new: PreTrainedModel, options: LengthOptions) -> None:
    """Raise InputError unless short inputs give the same logits, or others if rotations change."""
    positions = max_input_length(model)
    length = 32 if positions is None else min(32, positions.usable)
    device = model.get_input_embeddings().weight.device
    rows = model.get_input_embeddings().num_embeddings
    ids = (torch.arange(length, device=device)[None] * 7919 + rows // 2) % rows
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    training = model.training
    model.eval()
    before, after = model(**inputs).logits.float(), new(**inputs).logits.float()
    model.train(training)
    same = torch.allclose(before, after, rtol=0, atol=1e-6 * before.abs().max().item())
    changes_rotations = options.rope_theta is not None or options.rope_scaling is not None
    if same and changes_rotations:
        raise InputError(
            f"A {model.config.model_type} model ignores {_listed(options)}: train without them."
        )
    if not same and not changes_rotations:
        raise InputError(
            f"A {model.config.model_type} model cannot be extended: with {_listed(options)} it has "
            "other logits for short inputs, too."
        )


def _listed(options: LengthOptions) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.given.items())
