"""`mlmfast evaluate`."""

from __future__ import annotations

import json
from typing import Any

import click

from mlmfast.cli.flags.command import ExampleCommand, Names
from mlmfast.cli.flags.documents import documents_option
from mlmfast.cli.flags.raw_text import given_text_options, raw_text_options
from mlmfast.cli.process.log import show_log
from mlmfast.errors import InputError

_PSEUDO_METHODS = ("word_l2r", "original")


@click.command(
    "evaluate",
    cls=ExampleCommand,
    example="""
    mlmfast evaluate model/ --data blocks/test --json
    mlmfast evaluate model/ --data blocks/test --eval-seeds 8 --pseudo-perplexity 16
    mlmfast evaluate model/ --data wiki=blocks/wiki --data code=blocks/code
    mlmfast evaluate model/ --data new-texts.jsonl --text-column body
    mlmfast evaluate new-model/ --against old-model/ --data blocks/test
    """,
)
@click.argument("model")
@click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="[NAME=]DATA",
    help="Block store (for one with splits, the split test), or raw text: a file of any format of "
    "`mlmfast prepare`, or a pattern. Repeat it to evaluate on several, together and one by one.",
)
@click.option("--against", help="Another model, to compare both on the same masks.")
@click.option("--batch-size", default=32, show_default=True, help="Blocks per batch.")
@click.option(
    "--mlm-probability", default=0.15, show_default=True, help="Share of the tokens to mask."
)
@click.option("--seed", default=0, show_default=True, help="Key of the masks.")
@click.option(
    "--eval-seeds",
    default=1,
    show_default=True,
    help="Number of independent masks for means and standard errors.",
)
@click.option("--max-eval-samples", type=int, help="Evaluate on the first N blocks only.")
@click.option(
    "--confidence",
    default=0.95,
    show_default=True,
    help="Confidence level of the interval, with --against.",
)
@click.option(
    "--pseudo-perplexity",
    type=int,
    metavar="BLOCKS",
    help="Also mask each token of N blocks in turn, one pass per token.",
)
@click.option(
    "--pseudo-method",
    type=Names(_PSEUDO_METHODS),
    default="word_l2r",
    show_default=True,
    help="Mask the rest of the word, too, or the token only.",
)
@documents_option
@click.option("--device", help="cpu, cuda, cuda:1 ...  [default: the GPU if there is one]")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="auto: bf16 if the hardware supports it.",
)
@click.option(
    "--verify-store",
    is_flag=True,
    help="First compare every byte of the blocks with its checksums.",
)
@raw_text_options
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.pass_context
def command(
    context: click.Context,
    model: str,
    data: tuple[str, ...],
    against: str | None,
    confidence: float,
    pseudo_perplexity: int | None,
    pseudo_method: str,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate MODEL (a folder or a Hub name) on a block store or on text, or compare two models.

    Prints perplexity, accuracy at the masks and bits per byte. The masks depend on the seed only:
    the result is the same for any batch size.

    Raw text is prepared in a temporary folder with the model's tokenizer, into blocks such as the
    model was trained on: the result is that of `mlmfast prepare` and `evaluate`. The options from
    --tokenizer to --threads are for raw text only.
    """
    from mlmfast.data.store.named import named_folders

    show_log(quiet=quiet)
    named = named_folders(data)
    text = given_text_options(context, options)
    result: Any
    if against is not None:
        if pseudo_perplexity is not None:
            raise InputError("--pseudo-perplexity is for one model: leave out --against.")
        if not isinstance(named, str):
            raise InputError(
                f"--against compares on one block store or text: give one of {list(data)}."
            )
        from mlmfast.training.evaluation.compare import compare

        result = compare(
            model, against, named, confidence=confidence, progress=not quiet, **options, **text
        )
    else:
        from mlmfast.training.evaluation.evaluate import evaluate

        result = evaluate(
            model,
            named,
            pseudo_perplexity=pseudo_perplexity,
            pseudo_method=pseudo_method,
            progress=not quiet,
            **options,
            **text,
        )
    click.echo(json.dumps(result.to_dict()) if as_json else result)
