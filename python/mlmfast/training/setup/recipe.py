"""A recipe in the options of `train`."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.errors import InputError
from mlmfast.options import did_you_mean
from mlmfast.training.options.arguments import DEFAULTS, field_names
from mlmfast.training.options.run_mlm import ALIASES, OLD_NAMES, RunMlmOptions
from mlmfast.training.recipes.layout import rate_of
from mlmfast.training.recipes.recipe import Recipe, check_options, read_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlmfast.training.recipes.schedule import PhaseSchedule

_TEMPERATURE = "data_temperature"


def apply_recipe(train: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Add the options of a recipe to those of a call of `train`; the call's own hold.

    Args:
        train: the function, for its parameters and their defaults.
        given: its arguments; the keywords that are none of its parameters are in `further`.

    Returns:
        The arguments, with `recipe` as a `Recipe`.

    Raises:
        InputError: the recipe has a mistake.
        NotFoundError: there is no such recipe.
    """
    arguments = dict(given)
    if arguments["recipe"] is None:
        return arguments
    recipe = read_recipe(arguments["recipe"])
    parameters = inspect.signature(train).parameters
    check_option_names(recipe, parameters)
    further = dict(arguments["further"])
    options = {name: each for name, each in recipe.options.items() if name != _TEMPERATURE}
    if _is_default(arguments["data"], None):
        options["data"] = mixture_of(recipe)
    for name, value in options.items():
        if name not in parameters:
            further.setdefault(name, value)
        elif _is_default(arguments[name], parameters[name].default):
            arguments[name] = value
    return arguments | {"further": further, "recipe": recipe}


def with_rates(
    recipe: Recipe, arguments: Mapping[str, Any], ordered: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the training arguments of a recipe, with a learning rate and without a warm-up.

    Otherwise those of a training without phases would be the defaults.

    Args:
        recipe: the recipe.
        arguments: the training arguments that the user gave.
        ordered: options of `train` about the order of the blocks and their masks.

    Raises:
        InputError: an option contradicts the phases, or one of these has no learning rate.
    """
    check_options({**arguments, **ordered}, recipe.source)
    given = arguments.get("learning_rate")
    rates = [rate_of(phase, given) for phase in recipe.phases]
    highest = max(rate for each in rates for rate in (each.start, each.end))
    return {**arguments, "learning_rate": given or highest, "warmup_steps": 0}


def phase_arguments(
    schedule: PhaseSchedule, given: Mapping[str, Any], devices: int
) -> dict[str, Any]:
    """Return the training arguments of a training in phases.

    Args:
        schedule: the phases.
        given: the training arguments that the user gave.
        devices: how many processes or GPUs share a batch.
    """
    rows = given.get("per_device_train_batch_size") or DEFAULTS["per_device_train_batch_size"]
    longest = max(phase.block_size for phase in schedule.phases)
    return {
        **given,
        "max_steps": schedule.steps,
        "learning_rate": schedule.peak,
        "lr_scheduler_type": "constant",  # the trainer has the schedule of the phases
        "gradient_accumulation_steps": schedule.most_micro_batches(rows * devices * longest),
    }


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and value == default)


def check_option_names(recipe: Recipe, parameters: Iterable[str]) -> None:
    """Raise InputError for an option of a recipe that a training does not have.

    Args:
        recipe: the recipe.
        parameters: the names of the options of `train`.
    """
    own = {each.name for each in fields(RunMlmOptions)} | {*ALIASES, *OLD_NAMES}
    known = {*parameters, *own, *field_names(), _TEMPERATURE} - {"further", "recipe"}
    for name in recipe.options:
        if name not in known:
            raise InputError(
                f"{recipe.source}: there is no option {name!r}{did_you_mean(name, known)}"
            )


def mixture_of(recipe: Recipe) -> Any:
    """Return the data of a recipe, for the phases without their own; stores are a mixture.

    Raises:
        InputError: the stores cannot be mixed.
        NotFoundError: a store does not exist.
        StoreError: a store is damaged.
    """
    temperature, data = recipe.options.get(_TEMPERATURE), recipe.options.get("data")
    if isinstance(data, dict):
        weighted = [(str(store), weight) for store, weight in data.items()]
        return Mixture.of_weights(weighted, temperature)
    if temperature is not None:
        raise InputError(
            f"{recipe.source}: data_temperature ({temperature}) is for stores with weights: give "
            "data as a mapping, such as {web/: auto, code/: auto}."
        )
    return data
