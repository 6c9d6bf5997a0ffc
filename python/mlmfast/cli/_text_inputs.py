"""The options of every command that reads text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

# The formats by name, as `mlmfast.data.sources` knows them; not imported, since help must be quick.
FORMATS = ("txt", "jsonl", "csv", "tsv", "parquet", "arrow")

_CSV_OPTIONS = (
    click.option(
        "--csv-delimiter",
        metavar="CHARACTER",
        help="Between the fields of a row. [default: comma in CSV, tab in TSV]",
    ),
    click.option(
        "--csv-quoting",
        type=click.Choice(["minimal", "none"]),
        default="minimal",
        show_default=True,
        help="In CSV and TSV, quotes may surround a field, or are text.",
    ),
)
_OPTIONS = (
    click.argument("inputs", nargs=-1),
    click.option(
        "--text-column",
        default="text",
        show_default=True,
        metavar="NAME",
        help="Column with the text; a.b reaches into nested fields, lists are joined by blanks.",
    ),
    click.option(
        "--format",
        type=click.Choice(FORMATS),
        help="Format of the files, compressed or not. [default: by their names]",
    ),
    *_CSV_OPTIONS,
    click.option(
        "--json-field",
        metavar="NAME",
        help='Field with the list of records, where a JSON file is one object: {"NAME": [...]}.',
    ),
    click.option("--dataset-name", metavar="NAME", help="A data set of the Hub, or its folder."),
    click.option("--dataset-config", metavar="NAME", help="Configuration of the Hub's data set."),
    click.option("--split", metavar="SPLIT", help='Split of a data set, such as "train[:5000]".'),
    click.option(
        "--on-invalid-utf8",
        type=click.Choice(["error", "replace", "skip"]),
        default="error",
        show_default=True,
        help="Stop, replace the bytes by U+FFFD, or leave the document out.",
    ),
)


def text_inputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument `inputs` and the options that say how they are read."""
    return _with(_OPTIONS, function)


def csv_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say how delimited text is read."""
    return _with(_CSV_OPTIONS, function)


def _with(options: tuple[Any, ...], function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        function = option(function)
    return function
