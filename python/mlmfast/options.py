"""Options as data: what a field says about itself, and what is made of that.

A dataclass of options holds each option's default, help and limits. Its checks, the signature of
the function that takes them and the flags of the command all come from there.
"""

from __future__ import annotations

import functools
import inspect
import operator
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_P = ParamSpec("_P")
_Arguments = TypeVar("_Arguments")
_Result = TypeVar("_Result")


def option(text: str, default: Any = None, **about: Any) -> Any:
    """Declare an option as a dataclass field.

    Args:
        text: What the option does, as the command's help shows it.
        default: Its value where it is not given. (A required option is a `dataclasses.field` with
            this metadata, since type checkers know only that as one without a default.)
        about: What else is known: `choices` (the only values), `minimum` (of an integer),
            `metavar` (what the help calls the flag's value).
    """
    return field(default=default, metadata={"help": text, **about})


def check_options(options: Any) -> None:
    """Check every field of a dataclass against its own `choices` and `minimum`; None passes.

    Raises:
        InputError: A value is none of its choices, or no integer of its range.
    """
    for each in fields(options):
        value = getattr(options, each.name)
        if value is None and each.default is None:
            continue
        if "choices" in each.metadata:
            check_choice(each.name, value, each.metadata["choices"])
        if "minimum" in each.metadata:
            check_int(each.name, value, each.metadata["minimum"])


def check_choice(
    name: str, value: Any, choices: Sequence[str], *, optional: bool = False, quoted: bool = False
) -> None:
    """Raise InputError unless `value` is one of `choices`.

    Args:
        name: What the error calls the value.
        value: The value; None passes where it is `optional`.
        choices: The values that are possible.
        optional: Whether None is possible too.
        quoted: Write the choices as Python does, as the functions on arrays say it, and not as
            they are typed on a command line.
    """
    if value in choices or (optional and value is None):
        return
    if quoted:
        words = ["None"] if optional else []
        words += map(repr, choices)
        raise InputError(f"{name} must be {', '.join(words[:-1])} or {words[-1]}, got {value!r}")
    raise InputError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")


def check_int(name: str, value: Any, minimum: int, maximum: int | None = None) -> None:
    """Raise InputError unless `value` is an integer from `minimum` to `maximum`.

    With a maximum, the integers of numpy and others are taken too; without one, those of Python
    alone, since such options are written into files.
    """
    if maximum is None:
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise InputError(f"{name} must be a whole number from {minimum} up; got {value!r}.")
        return
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InputError(f"{name} must be a whole number, got {value!r}")
    if not minimum <= operator.index(value) <= maximum:
        raise InputError(f"{name} must be between {minimum} and {maximum}, got {value}")


def takes_fields_of(
    arguments: Callable[_P, _Arguments],
) -> Callable[[Callable[[_Arguments], _Result]], Callable[_P, _Result]]:
    """Let a function of one dataclass object be called with the dataclass's fields.

    The function has the signature of the dataclass, for `inspect`, `help` and type checkers.
    """

    def decorate(function: Callable[[_Arguments], _Result]) -> Callable[_P, _Result]:
        returns = inspect.signature(function).return_annotation
        signature = inspect.signature(arguments).replace(return_annotation=returns)

        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            return function(arguments(*args, **kwargs))

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = inspect.get_annotations(call) | {
            name: parameter.annotation for name, parameter in signature.parameters.items()
        }
        return call

    return decorate
