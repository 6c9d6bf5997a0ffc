"""A command whose options may also come from environment variables and from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.errors import InputError
from mlmfast.fs.settings import read_settings
from mlmfast.options import did_you_mean


class ConfiguredCommand(ExampleCommand):
    """A command that takes each option as a flag, as a variable, or from `--config FILE`.

    A flag overrides a variable, which overrides the file, which overrides the default. The variable
    of `--max-queue` is PREFIX_MAX_QUEUE; its name in a file is `max_queue` or `max-queue`. An empty
    variable counts as not given. Names that no option has are refused.
    """

    def __init__(self, *args: Any, prefix: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prefix = f"{prefix}_"
        self._by_name = {_name(each): each for each in self.params}
        config = click.Option(
            ["--config"],
            metavar="FILE",
            is_eager=True,  # the others look for their values in what it holds
            expose_value=False,
            callback=self._read,
            help=f"YAML or JSON file of these options; so are the variables {prefix}_*.",
        )
        self.params.append(config)
        for each in self.params:
            own = self._variable(_name(each))
            others = [each.envvar] if isinstance(each.envvar, str) else (each.envvar or [])
            each.envvar = [own, *others]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {self._variable(_name(each)) for each in self.params}
        for name in sorted(os.environ):
            if name.startswith(self._prefix) and name not in known:
                raise InputError(f"No option has the variable {name}{did_you_mean(name, known)}")
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            where = _where(ctx, error.param)
            if not where:
                raise
            raise click.BadParameter(error.message + where, ctx, error.param) from None

    def _variable(self, name: str) -> str:
        return self._prefix + name.replace("-", "_").upper()

    def _read(self, ctx: click.Context, _param: click.Parameter, file: str | None) -> None:
        if not file:
            return
        found = {}
        for name, value in read_settings(file).items():
            option = self._by_name.get(name)
            if option is None:
                hint = did_you_mean(name, self._by_name)
                raise InputError(f"The settings {file} have an unknown option {name!r}{hint}")
            found[str(option.name)] = _value(option, value, f"{name} of the settings {file}")
        ctx.default_map = found
        ctx.meta[__name__] = file


def _name(param: click.Parameter) -> str:
    """Return the name of a parameter in files: its flag without dashes."""
    return max(param.opts, key=len).lstrip("-").replace("_", "-")


def _value(param: click.Parameter, value: Any, what: str) -> Any:
    """Return a value of a file as command lines have it: as text, and the same text."""
    several = getattr(param, "multiple", False) or param.nargs == -1
    if several and isinstance(value, Mapping):
        return [f"{key}={one}" for key, one in value.items()]
    if several and isinstance(value, Sequence) and not isinstance(value, str):
        return [str(one) for one in value]
    if isinstance(value, Mapping | list):
        raise InputError(f"{what} is {value!r}; expected one value.")
    return [str(value)] if several else str(value)


def _where(ctx: click.Context, param: click.Parameter | None) -> str:
    """Tell where a wrong value comes from, if not from the command line."""
    source = ctx.get_parameter_source(str(param.name)) if param else None
    if param and source is ParameterSource.ENVIRONMENT:
        variables = [param.envvar] if isinstance(param.envvar, str) else (param.envvar or [])
        given = next(name for name in variables if os.environ.get(name))
        return f" It comes from ${given}."
    return f" It is in {ctx.meta[__name__]}." if source is ParameterSource.DEFAULT_MAP else ""
