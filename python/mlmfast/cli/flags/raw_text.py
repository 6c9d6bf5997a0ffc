"""The options of raw text in the place of a block store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from mlmfast.cli.flags.from_options import option_flags
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.training.options.raw_text import READ_OPTIONS, TEXT_OPTIONS
from mlmfast.training.options.text_blocks import TextBlocks


def raw_text_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say how raw text is read and becomes blocks."""
    function = option_flags(PrepareOptions, READ_OPTIONS)(function)
    function = option_flags(TextBlocks)(function)
    return click.option(
        "--tokenizer", metavar="NAME", help="Tokenizer of raw text.  [default: the model's]"
    )(function)


def given_text_options(context: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options of raw text from those of a command; return the ones that were given."""
    values = {name: options.pop(name) for name in TEXT_OPTIONS}
    return {
        name: value
        for name, value in values.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
