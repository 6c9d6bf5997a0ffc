"""`mlmfast tokenizer`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlmfast.cli.flags.command import ExampleCommand

if TYPE_CHECKING:
    from mlmfast.data.tokenization.examine import Examination

# Mismatches that are shown, and the characters of each.
_SHOWN, _CHARACTERS = 5, 200


@click.command(
    "tokenizer",
    cls=ExampleCommand,
    example="""
    mlmfast tokenizer roberta-base
    mlmfast tokenizer tokenizer/ --texts "data/*.txt" --json
    """,
)
@click.argument("tokenizer")
@click.option(
    "--texts",
    multiple=True,
    metavar="FILE",
    help="Texts to compare and to measure with, whatever `mlmfast prepare` reads; may be given "
    "several times.  [default: text that comes with Python]",
)
@click.option(
    "--text-column",
    metavar="NAME",
    help="The column or field that holds the text.  [default: text]",
)
@click.option(
    "--megabytes",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Read this much of the texts at most.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    tokenizer: str,
    texts: tuple[str, ...],
    text_column: str | None,
    megabytes: float,
    as_json: bool,
) -> int:
    """Say what encodes TOKENIZER and why, whether its ids are exact, and how fast it is.

    TOKENIZER is a folder, a tokenizer.json or a name of the Hugging Face Hub. The core and the
    `tokenizers` library both encode every code point, hard texts that are made for each step of
    this tokenizer's pipeline, and the given texts. Exit status: 0 if all ids are equal or the
    library encodes everything, 1 if a text is encoded differently.
    """
    from mlmfast.cli.process.frameworks import leave_out_frameworks
    from mlmfast.data.tokenization.examine import examine
    from mlmfast.data.tokenization.load import load_tokenizer

    leave_out_frameworks()
    loaded = load_tokenizer(tokenizer)
    documents = _read(texts, text_column, int(megabytes * 1e6))
    if sys.stderr.isatty():
        click.echo("Comparing with the tokenizers library ...", err=True)
    found = examine(loaded, documents)
    if as_json:
        click.echo(json.dumps(found.as_dict(), ensure_ascii=False))
    else:
        click.echo(describe(found))
    return 1 if found.mismatches else 0


def _read(inputs: tuple[str, ...], text_column: str | None, most: int) -> list[str]:
    """Return the documents of `inputs`, or of Python's own text, up to about `most` bytes."""
    from mlmfast.data.sources.base import ReadOptions
    from mlmfast.data.sources.open import open_sources, read_texts
    from mlmfast.demo.corpus import write_corpus

    options = ReadOptions() if text_column is None else ReadOptions(text_column=text_column)
    with tempfile.TemporaryDirectory() as folder:
        if not inputs:
            corpus = Path(folder) / "corpus.jsonl"
            write_corpus(corpus)
            inputs, options = (str(corpus),), ReadOptions()
        documents: list[str] = []
        size = 0
        for array in read_texts(open_sources(list(inputs)), options):
            for text in array.drop_null().to_pylist():
                documents.append(text)
                size += len(text.encode())
                if size >= most:
                    return documents
    return documents


def describe(found: Examination) -> str:
    """Return the lines that a person reads."""
    library = f"tokenizers {found.library}"
    engine = library if found.reason else f"the core's {found.engine}"
    tokens = f"{found.vocab_size:,} tokens, {found.added_tokens:,} of them added"
    lines = [f"Tokenizer  {found.tokenizer}: {tokens}", f"Engine     {engine}"]
    if found.reason:
        lines.append(f"Reason     {found.reason}")
    for title, part in (
        ("Normalizer", "normalizer"),
        ("Splitter", "pre_tokenizer"),
        ("Model", "model"),
    ):
        lines.append(f"{title:<11}{', '.join(found.steps[part]) or 'none'}")
    if found.hard_texts:
        left = f"; {found.differing_code_points:,} code points are left to the library"
        lines.append(
            f"Verified   all code points and {found.hard_texts:,} hard texts in "
            f"{found.verify_seconds:,.1f} s{left if found.differing_code_points else ''}"
        )
    lines.append(
        f"Texts      {found.texts:,}, {found.bytes / 1e6:,.1f} MB, "
        f"{found.library_share:.2%} of it encoded by the library"
    )
    if found.mismatches:
        lines.append(f"Different  {len(found.mismatches):,} texts, such as")
        lines += [f"           {_shown(text)}" for text in found.mismatches[:_SHOWN]]
    elif not found.reason:
        lines.append("Ids        all equal")
    speeds = found.megabytes_per_second
    own = [
        f"{speed:,.3g} MB/s {name}"
        for name, speed in (("cold", speeds.cold), ("warm", speeds.warm))
        if speed is not None
    ]
    beside = f"{library} {speeds.library:,.3g} MB/s"
    lines.append(f"Speed      {', '.join([*own, beside])} (one thread)")
    return "\n".join(lines)


def _shown(text: str) -> str:
    more = f" ... ({len(text):,} characters)" if len(text) > _CHARACTERS else ""
    return f"{text[:_CHARACTERS]!r}{more}"
