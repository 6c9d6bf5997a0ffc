"""`mlmfast convert`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mlmfast.cli.flags.command import ExampleCommand, Names

if TYPE_CHECKING:
    from mlmfast.data.convert.convert import ConvertReport

_FOR_STORES = {
    "tokenizer": "--tokenizer",
    "column": "--column",
    "block_size": "--block-size",
    "remainder": "--remainder",
    "packing": "--packing",
    "special_tokens": "--special-tokens",
    "shard_tokens": "--shard-tokens",
}


@click.command(
    "convert",
    cls=ExampleCommand,
    example="""
    mlmfast convert blocks/ --to parquet --output parquet/
    mlmfast convert s3://bucket/blocks --to megatron --output megatron/
    mlmfast convert tokens/*.parquet --to store --tokenizer roberta-base --output blocks/
    """,
)
@click.argument("source", nargs=-1, required=True)
@click.option(
    "--to",
    required=True,
    type=click.Choice(["parquet", "megatron", "raw", "store"]),
    help="What to write.",
)
@click.option(
    "--output", "-o", required=True, metavar="FOLDER", help="The folder or the URL to write."
)
@click.option("--tokenizer", metavar="NAME", help="For a store: the tokenizer that made the ids.")
@click.option(
    "--column",
    default="input_ids",
    show_default=True,
    metavar="NAME",
    help="For a store: the column with the lists of ids.",
)
@click.option(
    "--block-size",
    type=int,
    metavar="N",
    help="For a store: tokens in a block. [default: the rows' length where it is fixed, or 128]",
)
@click.option(
    "--remainder",
    type=click.Choice(["drop", "pad"]),
    default="drop",
    show_default=True,
    help="For a store: drop the tokens after the last whole block, or pad them to a block.",
)
@click.option(
    "--packing",
    type=Names(["concat", "best_fit"]),
    default="concat",
    show_default=True,
    help="For a store: let rows run on from block to block, or keep them whole.",
)
@click.option(
    "--special-tokens",
    type=click.Choice(["none", "block"]),
    default="none",
    show_default=True,
    help="For a store: wrap every block in the tokenizer's special tokens.",
)
@click.option(
    "--shard-tokens", default=1 << 26, show_default=True, help="For a store: tokens in one file."
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier conversion.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
@click.pass_context
def command(
    context: click.Context, source: tuple[str, ...], output: str, as_json: bool, quiet: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Convert a block store to another format, or lists of token ids to a block store.

    SOURCE is a block store, also at a URL, or with --to store Parquet files, a folder of them, a
    folder of MDS shards (columns of arrays), or a folder of the `datasets` library. parquet: one
    file per shard. megatron: the .bin and .idx of Megatron-LM and NeMo. raw: little-endian ids for
    numpy.memmap, and a JSON file with their type and shape.
    """
    from mlmfast.data.convert.convert import convert

    if options["to"] == "store":
        if options["tokenizer"] is None:
            raise click.UsageError(
                "--to store needs --tokenizer, the one that made the ids.", context
            )
    else:
        for name, flag in _FOR_STORES.items():
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"{flag} is for --to store alone.", context)
    report = convert(list(source), output, progress=not quiet, **options)
    if as_json:
        click.echo(json.dumps(report.as_dict(), ensure_ascii=False))
    elif not quiet:
        click.echo(_summary(report))


def _summary(report: ConvertReport) -> str:
    blocks = " and ".join(f"{count:,} blocks ({name})" for name, count in report.blocks.items())
    where = f"{report.bytes / 1e6:,.1f} MB in {report.output}"
    return f"Wrote    {blocks} as {report.to}, {where}, in {report.seconds:,.1f} s"
