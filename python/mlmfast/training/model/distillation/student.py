"""Makes the student of a distillation from its teacher."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.errors import InputError, first_line
from mlmfast.torch_models import max_input_length
from mlmfast.training.model.distillation.layers import (
    config_of_layers,
    keep_layers,
    layer_lists,
    source_key,
)
from mlmfast.training.model.fp32_eval import fp32_eval
from mlmfast.training.model.from_scratch import model_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PretrainedConfig, PreTrainedModel

logger = logging.getLogger(__name__)

_TRIAL_TOKENS = 64
_FIRST_ID = 5
_ROUNDING = 1e-4


def student_from_layers(
    teacher: PreTrainedModel, layers: Sequence[int], *, trust_remote_code: bool = False
) -> PreTrainedModel:
    """Make a model of some of the teacher's layers, with its embeddings and its head.

    Args:
        teacher: a masked language model of transformers.
        layers: the layers to take, ascending, counted from 0.
        trust_remote_code: whether the teacher's code is its own.

    Returns:
        A model of the same type that shares no weights with the teacher.

    Raises:
        InputError: the teacher has no such layers, or a model of its type cannot consist of them.
    """
    lists = layer_lists(teacher)
    config = config_of_layers(teacher, lists, layers)
    student = model_of(config, trust_remote_code=trust_remote_code)
    pruned = copy.deepcopy(teacher)
    keep_layers(pruned, lists, layers, config)
    listed = ",".join(map(str, layers))
    refusal = (
        f"The layers {listed} of this {config.model_type} do not make a model of that type, as its "
        "layers differ in kind"
    )
    advice = "choose others, beginning with 0, or give the student's shape (--student)"
    state = pruned.state_dict()
    if differing := sorted(state.keys() ^ student.state_dict().keys()):
        raise InputError(f"{refusal} (only one of the two has {differing[0]}): {advice}.")
    try:
        student.load_state_dict(state)
        student.tie_weights()
        agrees = _agree(student, pruned)
    except Exception as error:
        raise InputError(f"{refusal} ({first_line(error)}): {advice}.") from error
    if not agrees:
        raise InputError(f"{refusal}: {advice}.")
    logger.info("the student starts from layers %s of the teacher, with its head", listed)
    return student


def student_of_shape(
    teacher: PreTrainedModel, config: PretrainedConfig, *, trust_remote_code: bool = False
) -> PreTrainedModel:
    """Make a model of another shape that starts from those weights of the teacher that fit.

    A layer takes the weights of the layer at about the same depth: six of twelve layers begin as
    0, 2, 4, 7, 9 and 11, as in DistilBERT. Weights fit if they have the same name and shape.

    Args:
        teacher: a masked language model of transformers.
        config: the configuration of the student.
        trust_remote_code: whether the student's code is its own.

    Raises:
        InputError: transformers cannot build such a model.
    """
    student = model_of(config, trust_remote_code=trust_remote_code)
    theirs, lists = layer_lists(teacher), layer_lists(student)
    layers: list[int] = []
    if theirs.keys() == lists.keys() and lists:
        counts = [len(next(iter(each.values()))) for each in (lists, theirs)]
        layers = spread_layers(*counts)
    state, own = teacher.state_dict(), student.state_dict()
    fitting = {}
    for key, value in own.items():
        source = source_key(key, lists, layers) if layers else key
        if source in state and state[source].shape == value.shape:
            fitting[key] = state[source]
    if not fitting:
        logger.warning("no weights of the teacher fit the student: it starts from random weights")
        return student
    student.load_state_dict(own | fitting)
    student.tie_weights()
    inside = any(key.startswith(tuple(f"{name}." for name in lists)) for key in fitting)
    logger.info(
        "the student starts with %d of its %d tensors from the teacher%s",
        len(fitting),
        len(own),
        f", its layers from layers {','.join(map(str, layers))}" if lists and inside else "",
    )
    return student


def spread_layers(count: int, among: int) -> list[int]:
    """Spread layers evenly, with the first and the last.

    >>> spread_layers(6, 12)
    [0, 2, 4, 7, 9, 11]
    """
    if count == 1:
        return [0]
    return [round(number * (among - 1) / (count - 1)) for number in range(count)]


def _agree(student: PreTrainedModel, pruned: PreTrainedModel) -> bool:
    """Compare the student with a copy of the teacher that has only the chosen layers."""
    embeddings: Any = student.get_input_embeddings()
    positions = max_input_length(student)
    length = min(_TRIAL_TOKENS, positions.usable if positions else _TRIAL_TOKENS)
    device = embeddings.weight.device
    ids = torch.arange(2 * length, device=device).reshape(2, length)
    ids = ids % (embeddings.num_embeddings - _FIRST_ID) + _FIRST_ID
    logits = []
    for model in (student, pruned):
        with fp32_eval(model, device):
            logits.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)
    tolerance = _ROUNDING * logits[1].abs().max().item()
    return torch.allclose(logits[0], logits[1], rtol=0, atol=tolerance)
