"""A training in phases, read from a file: `Recipe` and `read_recipe`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from mlmfast.errors import InputError, NotFoundError
from mlmfast.fs.settings import SUFFIXES, read_settings
from mlmfast.options import did_you_mean
from mlmfast.training.recipes.numbers import amount
from mlmfast.training.recipes.phase import INHERITED, KEYS, LENGTHS, SHARED, Phase

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
_SHIPPED = Path(__file__).parent / "shipped"
_OWN = ("phases", "scale", *SHARED)
_ORDER = "the blocks of a recipe come in an order of their own"
REFUSED = {
    "max_steps": f"its phases say how long they are ({', '.join(LENGTHS)})",
    "num_train_epochs": f"its phases say how long they are ({', '.join(LENGTHS)})",
    "gradient_accumulation_steps": "it follows from batch_size, per_device_train_batch_size (or "
    "tokens_per_batch) and the number of processes",
    "auto_find_batch_size": "its phases have a batch_size",
    "lr_scheduler_type": "its phases have a learning_rate or a learning_rate_schedule",
    "lr_scheduler_kwargs": "its phases have a learning_rate or a learning_rate_schedule",
    "warmup_steps": "its phases have warmup_steps or warmup_tokens",
    "warmup_ratio": "its phases have warmup_steps or warmup_tokens",
    "mask_rate_schedule": "its phases have a mask_rate_schedule",
    "pack_documents": _ORDER,
    "group_by_length": _ORDER,
    "train_sampling_strategy": _ORDER,
    "max_train_samples": _ORDER,
    "dataloader_drop_last": "its batches are never smaller than batch_size",
}
"""Options of a training that do not go with a recipe, and why."""


@dataclass(frozen=True)
class Recipe:
    """Options of `mlmfast.train`, and the phases of the training.

    Attributes:
        source: the file, or the name of one that is part of mlmfast.
        phases: the phases in their order.
        options: the options, by name.
        fitted: the factor by which its lengths were multiplied for a number of hours; None without.
    """

    source: str
    phases: tuple[Phase, ...]
    options: Mapping[str, Any]
    fitted: float | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any], source: str) -> Recipe:
        """Check a recipe as its file has it.

        Raises:
            InputError: a key or a value is wrong; the message names the source, the phase and what
                is expected.
        """
        content = {str(name).replace("-", "_"): value for name, value in given.items()}
        phases = content.get("phases")
        if not isinstance(phases, list) or not phases:
            raise InputError(f"{source} has no phases: expected a list of them under `phases:`.")
        try:
            scale = amount(content.get("scale") or 1)
        except ValueError:
            raise InputError(
                f"{source}: scale is {content['scale']!r}; expected the factor of all lengths, "
                "such as 0.001."
            ) from None
        shared = {key: content[key] for key in SHARED if content.get(key) is not None}
        options = {key: _with_numbers(value) for key, value in content.items() if key not in _OWN}
        check_options(options, source)
        return cls(
            source,
            tuple(
                Phase.parse(each, number, source=source, shared=shared, scale=scale)
                for number, each in enumerate(phases, 1)
            ),
            options,
        )

    def scaled(self, factor: float) -> Self:
        """Return the recipe with all lengths multiplied by a factor, as by `scale`."""
        return replace(self, phases=tuple(phase.scaled(factor) for phase in self.phases))

    def without_options(self) -> Self:
        """Return the phases alone, for a caller who has applied the options."""
        return replace(self, options={})


def _with_numbers(value: Any) -> Any:
    """Return a value of a file with numbers for what YAML takes for text, such as `8e-4`."""
    if isinstance(value, Mapping):
        return {key: _with_numbers(each) for key, each in value.items()}
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    return value


def check_options(options: Mapping[str, Any], source: str) -> None:
    """Raise InputError for options that belong to the phases of a recipe, or contradict them."""
    for name, value in options.items():
        if value is None or value is False:
            continue
        if name in REFUSED:
            raise InputError(f"{name} ({value}) does not go with {source}: {REFUSED[name]}.")
        if name in KEYS and name not in (*INHERITED, *SHARED):
            raise InputError(f"{source}: {name} belongs to a phase: give it there.")


def shipped_recipes() -> dict[str, Path]:
    """Return the files of the recipes that are part of mlmfast, by name."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.yaml"))}


def find_recipe(source: str | Path) -> Path:
    """Return the file of a recipe: that of this path, or of this name in mlmfast.

    Raises:
        NotFoundError: there is none.
    """
    path = Path(source).expanduser()
    known = shipped_recipes()
    if not path.is_file() and str(source) in known:
        return known[str(source)]
    if not path.is_file():
        is_name = path.suffix.lower() not in SUFFIXES
        hint = did_you_mean(str(source), known) if is_name else "."
        raise NotFoundError(
            f"There is no recipe {source}{hint} mlmfast has the recipes {', '.join(known)}; any "
            "other is a YAML or JSON file."
        )
    return path


def read_recipe(source: str | Path | Mapping[str, Any] | Recipe) -> Recipe:
    """Read a recipe.

    Args:
        source: its file; the name of one that is part of mlmfast; or its content.

    Raises:
        NotFoundError: there is no such recipe.
        InputError: it is none, or has a mistake.
    """
    if isinstance(source, Recipe):
        return source
    if isinstance(source, Mapping):
        return Recipe.parse(source, "the recipe")
    return Recipe.parse(read_settings(str(find_recipe(source))), str(source))
