"""`mlmfast fill-mask`."""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from mlmfast.cli._model_folder import model_folder
from mlmfast.cli.bulk.answer_table import describe, describe_score
from mlmfast.cli.bulk.answering import answered_texts
from mlmfast.cli.bulk.answers_file import answers_file
from mlmfast.cli.bulk.input_texts import read_file, typed_texts
from mlmfast.cli.bulk.writing import write_answers
from mlmfast.cli.flags.bulk import check_texts, input_options, output_options, read_options
from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.cli.flags.device import device_options
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlmfast.cli.bulk.input_texts import InputText


@click.command(
    "fill-mask",
    cls=ExampleCommand,
    example="""
    mlmfast fill-mask onnx/ "The Milky Way is a <mask> galaxy." --top-k 3
    mlmfast fill-mask onnx/ - --json < questions.txt
    mlmfast fill-mask onnx/ --input questions.jsonl --output answers.jsonl --on-error skip
    """,
)
@click.argument("model")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@input_options
@output_options
@click.option("--top-k", type=int, default=5, show_default=True, help="Rows of each mask.")
@click.option(
    "--targets",
    multiple=True,
    help="Words to choose from, with commas between them; blanks count, since ' word' and 'word' "
    "are two tokens to some models.",
)
@click.option(
    "--whole-targets",
    is_flag=True,
    help="Score targets of several tokens as a whole, not by their first token.",
)
@click.option("--joint", is_flag=True, help="Fill all masks of a text together, by beam search.")
@click.option("--beams", type=int, help="With --joint: fillings kept at once.  [default: --top-k]")
@click.option(
    "--score",
    is_flag=True,
    help="No masks: the pseudo-log-likelihood of each text, the sum of natural logarithms.",
)
@click.option(
    "--truncate",
    is_flag=True,
    help="Cut a text that is too long around its masks, instead of refusing it.",
)
@device_options
@click.option(
    "--cuda-graphs",
    is_flag=True,
    help="With --device cuda: replay captured kernels for small batches; MODEL is a folder of "
    "mlmfast export --cuda-graphs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.option("--quiet", is_flag=True, help="Print no warnings, no progress and no summary.")
def command(model: str, quiet: bool, **options: Any) -> None:
    """Fill the masks of each TEXT with MODEL, a folder that `mlmfast export` wrote.

    A TEXT of - reads texts from standard input, one per line. With --json the answer has the form
    that `pipeline("fill-mask")` gives: a list of rows for one mask, a list of such lists for
    several masks, and a list of answers for several texts.

    MODEL may also be a checkpoint, a folder or a Hub name: it is exported once into
    ~/.cache/mlmfast/exports.
    """
    _check(options)
    if quiet:
        logging.getLogger("mlmfast").setLevel(logging.ERROR)
    from mlmfast.serving.fill_mask import FillMask

    given = (
        typed_texts(options["texts"])
        if options["source"] is None
        else read_file(options["source"], options["kind"], read_options(options))
    )
    writing = (
        answers_file(options["output"], _answer_kind(options), overwrite=options["overwrite"])
        if options["output"]
        else nullcontext()
    )
    with writing as writer:
        fill_mask = FillMask(
            model_folder(model, quiet=quiet),
            device=options["device"],
            threads=options["threads"],
            batching=options["batching"],
            cuda_graphs=options["cuda_graphs"],
        )
        answered = answered_texts(fill_mask, given, options)
        if writer is not None:
            write_answers(answered, writer, options, quiet=quiet)
        elif options["as_json"]:
            _print_json(answered)
        else:
            _print_tables(answered, score=options["score"])


def _check(options: dict[str, Any]) -> None:
    check_texts(options, "fill")
    if options["joint"] and options["score"]:
        raise click.UsageError("--joint and --score are two questions; ask one of them.")
    if options["targets"] and (options["joint"] or options["score"]):
        raise click.UsageError("--targets go with neither --joint nor --score.")
    if options["beams"] is not None and not options["joint"]:
        raise click.UsageError("--beams goes with --joint.")


def _answer_kind(options: dict[str, Any]) -> str:
    """Return the kind of the answers, as `answers_file` takes it."""
    if options["score"]:
        return "score"
    if options["whole_targets"]:
        return "whole targets"
    return "fillings" if options["joint"] else "rows"


def _print_json(answered: Iterable[tuple[InputText, Any]]) -> None:
    answers = [
        {"error": str(answer)} if isinstance(answer, InputError) else answer
        for _, answer in answered
    ]
    click.echo(json.dumps(answers[0] if len(answers) == 1 else answers, ensure_ascii=False))


def _print_tables(answered: Iterable[tuple[InputText, Any]], *, score: bool) -> None:
    for one, answer in answered:
        if isinstance(answer, InputError):
            click.echo(f"Error: {answer}" + ("" if score else "\n"))
        elif score:
            click.echo(describe_score(one.text or "", answer))
        else:
            click.echo(describe(one.text or "", answer) + "\n")
