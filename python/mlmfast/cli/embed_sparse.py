"""`mlmfast embed-sparse`."""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from mlmfast.cli._model_folder import model_folder
from mlmfast.cli.bulk.answering import answered, read_ahead
from mlmfast.cli.bulk.answers_file import answers_file
from mlmfast.cli.bulk.input_texts import read_file, typed_texts
from mlmfast.cli.bulk.writing import write_answers
from mlmfast.cli.flags.bulk import check_texts, input_options, output_options, read_options
from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.cli.flags.device import device_options
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlmfast.cli.bulk.answering import NumberedTexts
    from mlmfast.cli.bulk.input_texts import InputText


@click.command(
    "embed-sparse",
    cls=ExampleCommand,
    example="""
    mlmfast embed-sparse onnx/ "How do planes fly?" --top-k 10
    mlmfast embed-sparse onnx/ --input answers.jsonl --output vectors.parquet
    mlmfast embed-sparse onnx/ --query --input questions.txt --output queries.jsonl
    """,
)
@click.argument("model")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@input_options
@output_options
@click.option("--query", is_flag=True, help="The texts are queries, and not documents.")
@click.option("--top-k", type=int, help="Heaviest words of each text.  [default: all]")
@click.option(
    "--threshold",
    type=float,
    default=0.0,
    show_default=True,
    help="Keep words whose weights exceed it.",
)
@click.option("--special-tokens", is_flag=True, help="Let special tokens have a weight too.")
@click.option(
    "--truncate/--no-truncate",
    default=True,
    show_default=True,
    help="Cut a text that is too long at its end, or refuse it.",
)
@device_options
@click.option("--json", "as_json", is_flag=True, help="Print the words of each text as JSON.")
@click.option("--quiet", is_flag=True, help="Print no warnings, no progress and no summary.")
def command(model: str, quiet: bool, **options: Any) -> None:
    """Encode each TEXT as the weights of words with MODEL, which `export --task sparse` wrote.

    A TEXT of - reads texts from standard input, one per line. With --json the answer is an object
    of tokens and their weights, the heaviest first, and a list of objects for several texts. A file
    that --output names has the ids, the tokens and the weights of each text.

    MODEL may also be a checkpoint, a folder or a Hub name: it is exported once into
    ~/.cache/mlmfast/exports.
    """
    check_texts(options, "encode")
    if quiet:
        logging.getLogger("mlmfast").setLevel(logging.ERROR)
    from mlmfast.serving.sparse_encoder import SparseEncoder

    given = (
        typed_texts(options["texts"])
        if options["source"] is None
        else read_file(options["source"], options["kind"], read_options(options))
    )
    writing = (
        answers_file(options["output"], "words", overwrite=options["overwrite"])
        if options["output"]
        else nullcontext()
    )
    with writing as writer:
        encoder = SparseEncoder(
            model_folder(model, quiet=quiet, task="sparse"),
            device=options["device"],
            threads=options["threads"],
            batching=options["batching"],
        )
        skip = options["on_error"] == "skip"

        def vectors(texts: NumberedTexts) -> Iterator[Any]:
            return encoder.stream(
                texts,
                kind="query" if options["query"] else "document",
                top_k=options["top_k"],
                threshold=options["threshold"],
                special_tokens=options["special_tokens"],
                truncate=options["truncate"],
                returns="lists" if writer is not None else "dict",
                read_ahead=read_ahead(options),
                on_error="return" if skip else "raise",
                names=texts.name,
            )

        encoded = answered(given, vectors, skip=skip)
        if writer is not None:
            write_answers(encoded, writer, options, quiet=quiet)
        elif options["as_json"]:
            _print_json(encoded)
        else:
            _print_words(encoded)


def _print_json(encoded: Iterable[tuple[InputText, Any]]) -> None:
    words = [
        {"error": str(weights)} if isinstance(weights, InputError) else weights
        for _, weights in encoded
    ]
    click.echo(json.dumps(words[0] if len(words) == 1 else words, ensure_ascii=False))


def _print_words(encoded: Iterable[tuple[InputText, Any]]) -> None:
    for one, weights in encoded:
        if isinstance(weights, InputError):
            click.echo(f"Error: {weights}\n")
            continue
        click.echo(" ".join((one.text or "").split()))
        for token, weight in weights.items():
            click.echo(f"  {weight:7.3f}  {token}")
        click.echo()
