"""The options of every command that reads text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mlmfast.cli.flags.from_options import option_flags
from mlmfast.data.prepare.options import SOURCE_OPTIONS, PrepareOptions

csv_options = option_flags(PrepareOptions, ("csv_delimiter", "csv_quoting"))
"""Gives a command the options that say how delimited text is read."""


def text_inputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument `inputs` and the options that say how they are read."""
    function = option_flags(PrepareOptions, SOURCE_OPTIONS)(function)
    return click.argument("inputs", nargs=-1)(function)
