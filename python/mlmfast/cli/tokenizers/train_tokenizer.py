"""`mlmfast train-tokenizer`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.cli.flags.text import text_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command(
    "train-tokenizer",
    cls=ExampleCommand,
    example="mlmfast train-tokenizer data/*.txt --model bpe --vocab-size 30000 --output tokenizer/",
)
@text_inputs
@click.option("--output", "-o", required=True, metavar="FOLDER", help="The tokenizer to write.")
@click.option(
    "--model",
    type=click.Choice(["bpe", "wordpiece", "unigram"]),
    default="bpe",
    show_default=True,
    help="Byte-level BPE (RoBERTa), WordPiece (BERT) or Unigram (XLM-R).",
)
@click.option("--vocab-size", default=30_000, show_default=True, help="Tokens at most.")
@click.option(
    "--min-frequency", default=2, show_default=True, help="Occurrences a new token needs."
)
@click.option("--lowercase", is_flag=True, help="Make text lower-case first.")
@click.option(
    "--model-max-length", type=int, metavar="N", help="Tokens the model takes. [default: not said]"
)
@click.option("--overwrite", is_flag=True, help="Replace a tokenizer that already exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
def command(
    inputs: tuple[str, ...], output: str, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Train a tokenizer on text.

    INPUTS are what `mlmfast prepare` reads. The result opens with AutoTokenizer.
    """
    from mlmfast.data.prepare.options import READING_OPTIONS
    from mlmfast.data.sources.base import ReadOptions
    from mlmfast.data.sources.open import open_sources, read_texts
    from mlmfast.data.tokenization.train import train_tokenizer

    sources = open_sources(
        list(inputs),
        format=options.pop("format"),
        split=options.pop("split"),
        dataset_name=options.pop("dataset_name"),
        dataset_config=options.pop("dataset_config"),
    )
    reading = ReadOptions(**{name: options.pop(name) for name in READING_OPTIONS})

    def texts() -> Iterator[str]:
        for array in read_texts(sources, reading):
            yield from array.drop_null().to_pylist()

    loaded = train_tokenizer(texts(), output, progress=not quiet and sys.stderr.isatty(), **options)
    if as_json:
        summary = {
            "output": output,
            "model": options["model"],
            "vocab_size": loaded.vocab_size,
            "tokens": loaded.tokens,
            "replaced_documents": reading.replaced,
            "skipped_documents": reading.skipped,
        }
        click.echo(json.dumps(summary, ensure_ascii=False))
    elif not quiet:
        click.echo(
            f"Trained  {options['model']}, {loaded.vocab_size:,} tokens, in {output}\n"
            f"Next     mlmfast prepare {' '.join(inputs) or 'TEXT'} --tokenizer {output} "
            "--output blocks/"
        )
