"""`mlmfast prepare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlmfast.cli._command import ExampleCommand, Names
from mlmfast.cli._text_inputs import text_inputs

if TYPE_CHECKING:
    from mlmfast.data.prepare.options import PrepareReport


@click.command(
    "prepare",
    cls=ExampleCommand,
    example="""
    mlmfast prepare data/*.txt --tokenizer roberta-base --test-size 0.2 --output blocks/
    mlmfast prepare qa.jsonl.gz --text-column answers.text --tokenizer bert/ --output blocks/
    mlmfast prepare --dataset-name imdb --split "train[:5000]" --tokenizer bert/ --output blocks/
    zcat logs.gz | mlmfast prepare - --format txt --tokenizer tokenizer/ --output blocks/
    """,
)
@text_inputs
@click.option("--output", "-o", required=True, metavar="FOLDER", help="The block store to write.")
@click.option(
    "--tokenizer",
    required=True,
    metavar="NAME",
    help="A folder, a tokenizer.json or a name on the Hugging Face Hub.",
)
@click.option("--block-size", default=128, show_default=True, help="Tokens in a block.")
@click.option(
    "--test-size",
    type=float,
    metavar="SHARE",
    help="Share of the documents for a test split, such as 0.2. [default: no split]",
)
@click.option(
    "--special-tokens",
    type=click.Choice(["document", "block", "none"]),
    default="document",
    show_default=True,
    help="Wrap every document, or every block, in the tokenizer's special tokens, or add none.",
)
@click.option(
    "--remainder",
    type=click.Choice(["drop", "pad"]),
    default="drop",
    show_default=True,
    help="What becomes of the tokens after the last whole block.",
)
@click.option(
    "--packing",
    type=Names(["concat", "best_fit", "none"]),
    default="concat",
    show_default=True,
    help="Let documents run on from block to block, keep them whole and pad the blocks, or give "
    "each a block of its own.",
)
@click.option("--drop-empty", is_flag=True, help="Leave empty and blank documents out.")
@click.option("--limit", type=int, metavar="N", help="Read the first N documents only.")
@click.option(
    "--shuffle-documents",
    is_flag=True,
    help="Put all documents into a random order; the disk holds the text once more meanwhile.",
)
@click.option(
    "--deduplicate",
    type=click.Choice(["exact"]),
    help="Take a text once; 20 to 40 bytes of memory a text. [default: keep all]",
)
@click.option(
    "--seed", default=0, show_default=True, help="Chooses the test documents and the order."
)
@click.option(
    "--add-mask-token", metavar="TOKEN", help="Add this mask token to a tokenizer without one."
)
@click.option(
    "--add-tokens",
    type=click.Path(),
    metavar="FILE",
    help="Words that the tokenizer is to keep whole, one a line; see `mlmfast train --add-tokens`.",
)
@click.option(
    "--tokenizer-engine",
    type=click.Choice(["auto", "library"]),
    default="auto",
    show_default=True,
    help="Encode with the fast core wherever it is exact, or with `tokenizers` alone.",
)
@click.option(
    "--verify",
    default=0,
    metavar="N",
    show_default=True,
    help="Encode N documents with `tokenizers` as well, and compare.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Work in this process, or on all nodes of a Ray cluster; the bytes are the same.",
)
@click.option(
    "--shard-tokens",
    default=1 << 26,
    show_default=True,
    help="Tokens in one file.",
)
@click.option(
    "--threads",
    type=int,
    metavar="N",
    help="Threads that tokenize; of each task with Ray. [default: all cores, 1]",
)
@click.option("--overwrite", is_flag=True, help="Replace a store that is there already.")
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on where a run of the same command was cut off.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
def command(
    inputs: tuple[str, ...],
    output: str,
    add_tokens: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Turn text into a store of token blocks.

    INPUTS are files (txt, jsonl, csv, tsv, parquet, arrow; also .gz, .zst, .bz2, .xz, .lz4, .zip,
    .tar), patterns, folders of the `datasets` library, or - for standard input. A text file holds
    one document a line. The store opens with `datasets.load_from_disk` too. A run that was killed
    is gone on with by the same command, and the result is the same, byte for byte.
    """
    from mlmfast.cli._log import show_log
    from mlmfast.data.prepare.api import run_prepare
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.tokenization.added_tokens import read_tokens

    show_log(quiet=quiet)
    options["add_tokens"] = tuple(read_tokens(add_tokens)) if add_tokens else ()
    report = run_prepare(
        list(inputs),
        output,
        PrepareOptions(progress=not quiet, **options),
    )
    if as_json:
        click.echo(json.dumps(report.as_dict(), ensure_ascii=False))
        return
    for warning in report.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if not quiet:
        click.echo(_summary(report))


def _summary(report: PrepareReport) -> str:
    from mlmfast.data.prepare.options import counted

    sizes = report.as_dict()
    counts = [counted(report.documents, "document")]
    for number, what in (
        (report.empty, "empty"),
        (report.null, "null, left out"),
        (report.replaced, "with invalid UTF-8 replaced"),
        (report.skipped, "with invalid UTF-8, left out"),
        (report.duplicates, "that came before, left out"),
    ):
        if number:
            counts.append(f"{number:,} {what}")
    made = f"{counted(report.tokens, 'token')} -> {counted(report.blocks, 'block')}"
    lines = [
        f"Read     {', '.join(counts)}; {report.text_bytes / 1e6:,.1f} MB of text",
        f"Made     {made} of {sizes['block_size']}; {_end(report)}",
        (
            f"Took     {report.seconds:,.1f} s: {sizes['megabytes_per_second']:,.1f} MB/s, "
            f"{sizes['tokens_per_second']:,} tokens/s"
        ),
    ]
    if report.kept_shards:
        kept = counted(report.kept_shards, "finished shard")
        lines.append(f"Kept     {kept} with {counted(report.kept_tokens, 'token')} before that")
    lines += [
        f"{name.capitalize():8} {counted(len(store), 'block')} in {store.path}"
        for name, store in report.stores.items()
    ]
    lines.append(f"Next     mlmfast train {report.output} {_model(report)} --output model/")
    return "\n".join(lines)


def _end(report: PrepareReport) -> str:
    from mlmfast.data.prepare.options import counted

    if report.stores["train"].manifest.packing == "best_fit":
        return f"{report.fill_rate:.1%} full, documents whole"
    if report.stores["train"].manifest.packing == "none":
        cut = counted(report.dropped_tokens, "token")
        return f"{report.fill_rate:.1%} full, a document each; {cut} cut off"
    padding = sum(store.manifest.padding_tokens for store in report.stores.values())
    if padding:
        return f"the last filled up with {counted(padding, 'padding token')}"
    return f"{counted(report.dropped_tokens, 'token')} at the end dropped"


def _model(report: PrepareReport) -> str:
    """Guess the model that goes with the tokenizer, for the command to type next."""
    name = report.stores["train"].manifest.tokenizer
    folder = Path(name).expanduser()
    if not folder.exists() or (folder / "config.json").exists():
        return f"--model {name}"
    return "--from-scratch --model-type roberta"
