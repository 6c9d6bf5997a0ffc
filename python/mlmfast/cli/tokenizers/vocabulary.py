"""`mlmfast vocabulary trim` and `mlmfast vocabulary replace`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mlmfast.cli.flags.command import CONTEXT, ExampleCommand, ExampleGroup
from mlmfast.cli.flags.from_options import option_flags
from mlmfast.cli.process.log import show_log
from mlmfast.data.prepare.options import SOURCE_OPTIONS, PrepareOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmfast.vocabulary.report import VocabularyReport


@click.group(
    "vocabulary",
    cls=ExampleGroup,
    context_settings=CONTEXT,
    example="""
    mlmfast vocabulary trim xlm-roberta-base --texts "data/*.txt" --keep 30000 --output small/
    mlmfast vocabulary replace roberta-base --tokenizer tokenizer/ --output new/
    """,
)
def command() -> None:
    """Give a checkpoint a vocabulary that fits the texts.

    `trim` keeps the tokens that texts need, with the same rows; `replace` takes another tokenizer,
    whose tokens begin with rows made of the old ones.
    """


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of both."""
    for option in (
        click.option("--quiet", "-q", is_flag=True, help="No messages and no summary."),
        click.option("--json", "as_json", is_flag=True, help="Print the summary as a JSON object."),
        click.option("--overwrite", is_flag=True, help="Replace an output of this command."),
        option_flags(PrepareOptions, SOURCE_OPTIONS),
        click.option("--speed", is_flag=True, help="Time a forward pass before and after."),
        click.option(
            "--output", "-o", required=True, metavar="FOLDER", help="The checkpoint to write."
        ),
    ):
        function = option(function)
    return function


@command.command(
    "trim",
    cls=ExampleCommand,
    example="""
    mlmfast vocabulary trim xlm-roberta-base --texts "data/*.txt" --keep 30000 --output small/
    mlmfast vocabulary trim model/ --texts train.jsonl --test test.jsonl --output small/ --speed
    """,
)
@click.argument("model")
@click.option(
    "--texts",
    multiple=True,
    metavar="FILE",
    help="Texts whose tokens stay, whatever `mlmfast prepare` reads; may be given several times.",
)
@click.option(
    "--keep", type=int, metavar="N", help="Keep N tokens at most.  [default: all that occur]"
)
@click.option(
    "--min-count", default=1, show_default=True, help="Occurrences that a token needs to stay."
)
@click.option(
    "--test",
    multiple=True,
    metavar="FILE",
    help="Other texts, to tell how many of them keep their tokens.",
)
@_shared
def trim(
    model: str,
    texts: tuple[str, ...],
    test: tuple[str, ...],
    output: str,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Keep the tokens of MODEL that texts need, and drop the others.

    MODEL is a checkpoint folder or a name of the Hugging Face Hub. The output is a checkpoint with
    its tokenizer: rows of kept tokens are the same numbers, and texts whose tokens are all kept
    have the same tokens. `vocabulary.json` in it has the new id of every old one.
    """
    from mlmfast.vocabulary.trim import trim_vocabulary

    show_log(quiet=quiet or as_json)
    report = trim_vocabulary(model, list(texts), output, test=list(test) or None, **_given(options))
    _print(report, as_json=as_json, quiet=quiet)


@command.command(
    "replace",
    cls=ExampleCommand,
    example="""
    mlmfast vocabulary replace roberta-base --tokenizer tokenizer/ --output new/
    mlmfast vocabulary replace model/ --tokenizer new/ --texts "data/*.txt" --init focus -o new/
    """,
)
@click.argument("model")
@click.option(
    "--tokenizer",
    required=True,
    metavar="NEW",
    help="The new tokenizer: a folder, a tokenizer.json or a name of the Hugging Face Hub.",
)
@click.option(
    "--init",
    type=click.Choice(["mean", "focus"]),
    default="mean",
    show_default=True,
    help="Rows of new tokens: the mean of the old pieces of their text, or a combination of shared "
    "tokens that are similar in the texts (FOCUS).",
)
@click.option(
    "--texts",
    multiple=True,
    metavar="FILE",
    help="Texts to measure bits per byte on, before and after; may be given several times.",
)
@click.option(
    "--eval-megabytes",
    type=click.FloatRange(min=0, min_open=True),
    default=0.25,
    show_default=True,
    help="Measure on this much of the texts at most.",
)
@_shared
def replace(
    model: str,
    tokenizer: str,
    texts: tuple[str, ...],
    output: str,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Give MODEL another tokenizer, and rows for its tokens.

    MODEL is a checkpoint folder or a name of the Hugging Face Hub. Tokens that both tokenizers have
    keep their rows, special tokens those of their roles. Train the output afterwards: `mlmfast
    train`.
    """
    from mlmfast.vocabulary.replace import replace_vocabulary

    show_log(quiet=quiet or as_json)
    sources = ("dataset_name", "dataset_config")
    given = list(texts) if texts or any(options[name] for name in sources) else None
    report = replace_vocabulary(model, tokenizer, output, texts=given, **_given(options))
    _print(report, as_json=as_json, quiet=quiet)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Leave out options that are not given, so that the functions' own defaults hold."""
    return {name: value for name, value in options.items() if value is not None}


def _print(report: VocabularyReport, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    elif not quiet:
        click.echo(f"{report}\nOutput     {report.output}")
