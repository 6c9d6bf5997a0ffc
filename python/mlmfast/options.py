"""Options declared once, as the fields of a dataclass.

A field holds the default, the help and the limits of an option. The checks, the signature of the
function that takes the options and the flags of the command are made from the fields.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import operator
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_P = ParamSpec("_P")
_Arguments = TypeVar("_Arguments")
_Result = TypeVar("_Result")


def option(text: str, default: Any = None, **about: Any) -> Any:
    """Declare an option as a dataclass field.

    Args:
        text: What the option does, as the command's help shows it.
        default: Its value if it is not given. (For a required option, use `dataclasses.field` with
            this metadata: type checkers take any other call for a default.)
        about: Further metadata: `choices` (the possible values), `minimum` (of an integer),
            `bounds` (the least and the greatest number), `metavar` (the name of the flag's value in
            the help), `flag` (the flag, where it is not the field's name). An option whose type
            is a tuple may be repeated.
    """
    return field(default=default, metadata={"help": text, **about})


def check_options(options: Any) -> None:
    """Check every field of a dataclass against its own `choices`, `minimum` and `bounds`.

    None passes where it is the default.

    Raises:
        InputError: A value is not one of its choices, or not a number in its range.
    """
    for each in fields(options):
        value = getattr(options, each.name)
        if value is None and each.default is None:
            continue
        if "choices" in each.metadata:
            check_choice(each.name, value, each.metadata["choices"])
        if "minimum" in each.metadata:
            check_int(each.name, value, each.metadata["minimum"])
        if "bounds" in each.metadata:
            _check_bounds(each.name, value, *each.metadata["bounds"])


def check_choice(
    name: str, value: Any, choices: Sequence[str], *, optional: bool = False, quoted: bool = False
) -> None:
    """Raise InputError unless `value` is one of `choices`.

    Args:
        name: The name of the option, for the error.
        value: The value to check.
        choices: The possible values.
        optional: Whether None is possible too.
        quoted: Write the choices as Python strings, as the functions on arrays do, and not as on
            a command line.
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

    With a maximum, any integer passes, those of numpy too; without one, only an `int` does, since
    such options are written to files.
    """
    if maximum is None:
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise InputError(f"{name} must be a whole number from {minimum} up; got {value!r}.")
        return
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InputError(f"{name} must be a whole number, got {value!r}")
    if not minimum <= operator.index(value) <= maximum:
        raise InputError(f"{name} must be between {minimum} and {maximum}, got {value}")


def _check_bounds(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} must lie between {low:g} and {high:g}, and is {value:g}.")


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return the end of a sentence: the known names that are close to a wrong one, if any."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(prefix + word for word in close)}?" if close else "."


def takes_fields_of(
    arguments: Callable[_P, _Arguments],
) -> Callable[[Callable[[_Arguments], _Result]], Callable[_P, _Result]]:
    """Decorate a function of one dataclass object to take the fields of the dataclass instead.

    The result has the signature of the dataclass, for `inspect`, `help` and type checkers.
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
