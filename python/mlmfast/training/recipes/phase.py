"""A phase of a recipe, as its file has it: `Phase`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from mlmfast.data.masking.mask_rates import parse_mask_rate
from mlmfast.data.masking.schedule import MaskRateSchedule
from mlmfast.errors import InputError
from mlmfast.options import did_you_mean
from mlmfast.training.recipes import curve
from mlmfast.training.recipes.curve import Curve
from mlmfast.training.recipes.numbers import amount, count, number

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTHS = ("steps", "tokens", "epochs")
"""The keys of which a phase has one."""
INHERITED = ("data", "data_temperature", "mlm_probability", "learning_rate", "rope_theta")
"""Keys that are options of a training too, whose values hold for the phases without their own."""
SHARED = ("batch_size", "block_size")
"""Keys of phases whose values may stand once, for all phases without their own."""


@dataclass(frozen=True)
class Phase:
    """A part of a training; lengths are scaled by the recipe's `scale`.

    Attributes:
        where: the file, the number and the name of the phase, for messages.
        name: its name.
        batch_size: blocks of an optimizer step, of all processes together.
        steps, tokens, epochs: how long it is, one of them. Tokens count all positions; an epoch has
            as many blocks as the stores of the phase.
        data: the block store, or several with their weights; None for that of the training.
        data_temperature: of weights by size.
        block_size: tokens of a block, with which the blocks are compared.
        batch_size_warmup_min_size: blocks of the first step, from which batches grow.
        batch_size_warmup_tokens: tokens of the steps in which they grow.
        mlm_probability: the mask rate; None for that of the training.
        mask_rate_schedule: a mask rate that changes from the first step of the phase to the last.
        learning_rate: the learning rate; None for that of the training.
        learning_rate_schedule: a learning rate that changes from the end of the warm-up to the end
            of the phase.
        warmup_steps, warmup_tokens: how long the learning rate rises at first.
        rope_theta: the base of the model's rotary position embeddings; None for the model's own.
    """

    where: str
    name: str
    batch_size: int
    steps: float | None = None
    tokens: float | None = None
    epochs: float | None = None
    data: str | Mapping[str, Any] | None = None
    data_temperature: float | None = None
    block_size: int | None = None
    batch_size_warmup_min_size: int | None = None
    batch_size_warmup_tokens: float | None = None
    mlm_probability: float | str | None = None
    mask_rate_schedule: str | None = None
    learning_rate: float | None = None
    learning_rate_schedule: Curve | None = None
    warmup_steps: float | None = None
    warmup_tokens: float | None = None
    rope_theta: float | None = None

    @classmethod
    def parse(
        cls, given: Any, position: int, *, source: str, shared: Mapping[str, Any], scale: float
    ) -> Phase:
        """Check the keys of a phase and their values.

        Args:
            given: the phase as its file has it, a mapping.
            position: its number, from 1.
            source: the file, for messages.
            shared: the values of keys that the phase may leave out.
            scale: the factor of its lengths.

        Raises:
            InputError: a key is unknown, or its value of another kind, or two contradict each
                other; the message names file, phase and key, and what is expected.
        """
        where = f"{source}, phase {position}"
        if not isinstance(given, Mapping):
            raise InputError(f"{where} is {given!r}; expected keys and values, such as steps: 100.")
        own = {str(key).replace("-", "_"): value for key, value in given.items()}
        name = str(own.pop("name", None) or f"phase {position}")
        where = f"{where} ({name})" if name != f"phase {position}" else where
        own = {key: value for key, value in own.items() if value is not None}
        known = [each.name for each in fields(cls) if each.name != "where"]
        for key in own:
            if key not in known:
                raise InputError(f"{where}: there is no key {key!r}{did_you_mean(key, known)}")
        values = {key: _parse(where, key, value) for key, value in {**shared, **own}.items()}
        _check(where, values)
        return cls(where, name, **values).scaled(scale)

    def scaled(self, factor: float) -> Self:
        """Return the phase with its lengths multiplied by a factor."""
        lengths = {
            key: getattr(self, key) * factor
            for key, parser in _KEYS.items()
            if parser.scaled and getattr(self, key) is not None
        }
        return replace(self, **lengths)


class _Key(NamedTuple):
    parse: Callable[[Any], Any]
    expected: str
    scaled: bool = False


def _parse(where: str, key: str, value: Any) -> Any:
    parser = _KEYS[key]
    try:
        return parser.parse(value)
    except InputError as error:
        raise error.prefixed(f"{where}: {key}:") from None
    except ValueError:
        raise InputError(f"{where}: {key} is {value!r}; expected {parser.expected}.") from None


def _check(where: str, values: Mapping[str, Any]) -> None:
    """Raise InputError for keys that are missing or contradict each other."""
    lengths = [key for key in LENGTHS if key in values]
    if len(lengths) != 1:
        what = f"has {' and '.join(lengths)}" if lengths else "does not say how long it is"
        raise InputError(f"{where} {what}: give one of {', '.join(LENGTHS)}.")
    if "batch_size" not in values:
        raise InputError(
            f"{where} has no batch_size: give the blocks of an optimizer step, here or for all "
            "phases."
        )
    for pair in (
        ("mlm_probability", "mask_rate_schedule"),
        ("learning_rate", "learning_rate_schedule"),
        ("warmup_steps", "warmup_tokens"),
    ):
        if all(key in values for key in pair):
            raise InputError(f"{where} has {' and '.join(pair)}: give one of them.")
    growth = ("batch_size_warmup_min_size", "batch_size_warmup_tokens")
    if (given := [key for key in growth if key in values]) and len(given) < len(growth):
        raise InputError(f"{where} has {given[0]} alone: give {' and '.join(growth)}.")
    if values.get(growth[0], 0) > values["batch_size"]:
        raise InputError(
            f"{where}: batches of {values[growth[0]]:,} blocks ({growth[0]}) cannot grow to "
            f"{values['batch_size']:,} (batch_size): give fewer."
        )
    if "data_temperature" in values and "data" not in values:
        raise InputError(f"{where}: data_temperature goes with data: give both, or none.")


def _data(value: Any) -> str | dict[str, Any]:
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, Mapping) or not value:
        raise ValueError(value)
    return {str(store): weight for store, weight in value.items()}


def _mask_rate(value: Any) -> float | str:
    rate = parse_mask_rate(value)
    if isinstance(rate, float):
        if not 0 <= rate <= 1:
            raise ValueError(value)
        return rate
    return str(rate)


def _mask_rates(value: Any) -> str:
    MaskRateSchedule(value, 1)
    return str(value)


def _rate(value: Any) -> float:
    if (rate := number(value)) <= 0:
        raise ValueError(value)
    return rate


def _rates(value: Any) -> Curve:
    found = Curve.parse(value)
    if min(found.start, found.end) < 0 or max(found.start, found.end) == 0:
        raise ValueError(value)
    return found


def _theta(value: Any) -> float:
    if (base := number(value)) <= 1:
        raise ValueError(value)
    return base


_STORES = "a block store, or stores with their weights, such as {web/: 0.7, code/: 0.3}"
_TOKENS = "a number of tokens, such as 50B or 2_000_000"
_BLOCKS = "a number of blocks, such as 512"
_KEYS = {
    "data": _Key(_data, _STORES),
    "data_temperature": _Key(_rate, "a positive number"),
    "block_size": _Key(count, "the tokens of a block, such as 1024"),
    "steps": _Key(count, "a number of steps, such as 10_000", scaled=True),
    "tokens": _Key(amount, _TOKENS, scaled=True),
    "epochs": _Key(amount, "a number of epochs, such as 3 or 0.5", scaled=True),
    "batch_size": _Key(count, _BLOCKS),
    "batch_size_warmup_min_size": _Key(count, _BLOCKS),
    "batch_size_warmup_tokens": _Key(amount, _TOKENS, scaled=True),
    "mlm_probability": _Key(_mask_rate, "a mask rate between 0 and 1, such as 0.3"),
    "mask_rate_schedule": _Key(_mask_rates, "START:END, such as 0.3:0.15"),
    "learning_rate": _Key(_rate, "a positive number, such as 8e-4"),
    "learning_rate_schedule": _Key(_rates, curve.EXPECTED),
    "warmup_steps": _Key(count, "a number of steps, such as 1000", scaled=True),
    "warmup_tokens": _Key(amount, _TOKENS, scaled=True),
    "rope_theta": _Key(_theta, "a number above 1, such as 160000"),
}
KEYS = ("name", *_KEYS)
"""The keys of a phase."""
