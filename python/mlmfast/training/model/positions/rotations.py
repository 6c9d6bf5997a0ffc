"""Rotary position embeddings whose base changes while a model trains: `Rotations`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForMaskedLM

from mlmfast.errors import InputError
from mlmfast.torch_models import max_input_length, text_config
from mlmfast.training.model.positions.lengthen import change_positions
from mlmfast.training.options.length import LengthOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel


class Rotations:
    """The rotary position embeddings of a model for several bases.

    They are buffers, computed from the configuration. For each base, a model is made with it, and
    the buffers in which it differs are kept; the model with these must give its logits.

    Args:
        model: A masked language model of transformers, on the CPU; it keeps its own base.
        bases: The bases, as `rope_theta`; None for the model's own.
        trust_remote_code: Whether the model's code is its own.

    Raises:
        InputError: The model has no rotary position embeddings, or its base cannot be changed.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        bases: Iterable[float | None],
        *,
        trust_remote_code: bool = False,
    ) -> None:
        self._model = model
        self._own = _base_of(model.config)
        self._buffers: dict[float, list[tuple[nn.Module, str, torch.Tensor]]] = {}
        wanted = sorted({self._own if base is None else base for base in bases} - {self._own})
        for base in wanted:
            config = copy.deepcopy(model.config)
            change_positions(config, LengthOptions(rope_theta=base))
            with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
                other = AutoModelForMaskedLM.from_config(
                    config, dtype=model.dtype, trust_remote_code=trust_remote_code
                )
            other.load_state_dict(model.state_dict())
            other.tie_weights()
            self._add(base, other)

    def _add(self, base: float, other: PreTrainedModel) -> None:
        """Keep the buffers of a model with a base, and check that they make the difference."""
        before = _logits(self._model)
        changed = list(_changed(self._model, other))
        self._buffers.setdefault(self._own, []).extend(
            (module, name, own.clone()) for module, name, own, _ in changed
        )
        self._buffers[base] = [(module, name, value) for module, name, _, value in changed]
        self._copy(base)
        after, expected = _logits(self._model), _logits(other)
        self._copy(self._own)
        scale = expected.abs().max().item()
        is_same = torch.allclose(after, expected, rtol=0, atol=1e-6 * scale)
        if not is_same or torch.allclose(after, before, rtol=0, atol=1e-6 * scale):
            raise InputError(
                f"The base of the rotary positions of a {self._model.config.model_type} model "
                f"cannot be changed while it trains (rope_theta {base:g}): give one --rope-theta "
                "for all phases, or train the phases one after the other."
            )

    def use(self, base: float | None) -> None:
        """Change the base of the model, and that of its configuration; None for its own."""
        chosen = self._own if base is None else base
        self._copy(chosen)
        change_positions(self._model.config, LengthOptions(rope_theta=chosen))

    @torch.no_grad()
    def _copy(self, base: float) -> None:
        # In place: compiled graphs and wrappers keep the buffers.
        for module, name, value in self._buffers.get(base, ()):
            getattr(module, name).copy_(value)


def _base_of(config: PretrainedConfig) -> float:
    """Return the base in a configuration of transformers 4 or 5.

    Raises:
        InputError: it has none.
    """
    text: Any = text_config(config)
    nested = getattr(text, "rope_parameters", None)
    if isinstance(nested, dict) and nested:
        base = nested.get("full_attention", nested).get("rope_theta")
    else:
        base = getattr(text, "rope_theta", None)
    if base is None:
        raise InputError(
            f"rope_theta is for models with rotary position embeddings; a {config.model_type} "
            "model has none that transformers can change: leave it out of the phases."
        )
    return float(base)


def _changed(model: PreTrainedModel, other: PreTrainedModel) -> Any:
    """Yield the buffers in which models differ: module and name, both values."""
    modules = dict(model.named_modules())
    for path, module in other.named_modules():
        for name, value in module.named_buffers(recurse=False):
            own = getattr(modules[path], name)
            if own.shape == value.shape and not torch.equal(own, value):
                yield modules[path], name, own, value


@torch.no_grad()
def _logits(model: PreTrainedModel) -> torch.Tensor:
    """Compute the logits of some ids, `[1, L, V]` in float32."""
    positions = max_input_length(model)
    length = 32 if positions is None else min(32, positions.usable)
    rows = model.get_input_embeddings().num_embeddings
    ids = (torch.arange(length)[None] * 7919 + rows // 2) % rows
    training = model.training
    model.eval()
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.float()
    model.train(training)
    return logits
