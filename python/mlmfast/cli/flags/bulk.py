"""The flags of commands that answer many texts: where they come from, and where answers go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlmfast.cli.flags.text import csv_options
from mlmfast.data.sources.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmfast.data.sources.base import ReadOptions


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --input and how it is read."""
    options = (
        click.option(
            "--input",
            "source",
            metavar="FILE",
            help="Texts from a file, or from standard input for -.",
        ),
        click.option(
            "--format",
            "kind",
            type=click.Choice(FORMATS),
            help="Format of --input.  [default: by its name; txt for -]",
        ),
        click.option(
            "--text-column",
            default="text",
            show_default=True,
            metavar="NAME",
            help="Field of a JSON line or column of a table with the text; a.b is a nested field.",
        ),
        csv_options,
    )
    for option in reversed(options):
        command = option(command)
    return command


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --output and what happens at a text that cannot be used."""
    options = (
        click.option(
            "--output",
            metavar="FILE",
            help="Write the answers to a .jsonl or .parquet file: one row per text, with its line.",
        ),
        click.option("--overwrite", is_flag=True, help="Replace --output where it exists."),
        click.option(
            "--on-error",
            type=click.Choice(["stop", "skip"]),
            default="stop",
            show_default=True,
            help="At a text that cannot be used: stop, or write the error in place of its answer.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check_texts(options: dict[str, Any], purpose: str) -> None:
    """Refuse no texts, texts from two places, and --overwrite without --output.

    Args:
        options: the options of the command.
        purpose: what the texts are given for, as "fill".
    """
    if bool(options["texts"]) == (options["source"] is not None):
        raise click.UsageError(f"Give texts to {purpose}, or --input FILE, one of the two.")
    if options["overwrite"] and not options["output"]:
        raise click.UsageError("--overwrite goes with --output.")


def read_options(options: dict[str, Any]) -> ReadOptions:
    """Return how --input is read."""
    from mlmfast.data.sources.base import ReadOptions

    return ReadOptions(
        options["text_column"],
        csv_delimiter=options["csv_delimiter"],
        csv_quoting=options["csv_quoting"],
    )
