"""`mlmfast prepare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.cli.flags.from_options import option_flags
from mlmfast.cli.flags.text import text_inputs
from mlmfast.data.prepare.options import FILTERS, SOURCE_OPTIONS, PrepareOptions
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.prepare.report import PrepareReport


@click.command(
    "prepare",
    cls=ExampleCommand,
    example="""
    mlmfast prepare data/*.txt --tokenizer roberta-base --test-size 0.2 --output blocks/
    mlmfast prepare qa.jsonl.gz --text-column answers.text --tokenizer bert/ --output blocks/
    mlmfast prepare --dataset-name imdb --split "train[:5000]" --tokenizer bert/ --output blocks/
    mlmfast prepare "s3://bucket/corpus/*.jsonl.zst" --tokenizer bert/ --output blocks/
    mlmfast prepare text.txt --tokenizer bert/ --output s3://bucket/blocks
    mlmfast prepare books/ --format document --tokenizer bert/ --output blocks/
    zcat logs.gz | mlmfast prepare - --format txt --tokenizer tokenizer/ --output blocks/
    """,
)
@text_inputs
@click.option(
    "--sources",
    metavar="FILE",
    help="YAML or JSON file of several sources by name, in the place of INPUTS: their inputs, or a "
    "mapping of inputs and options of their own. Each becomes the store OUTPUT/NAME.",
)
@click.option(
    "--output",
    "-o",
    required=True,
    metavar="FOLDER",
    help="The block store to write, a folder or a URL.",
)
@option_flags(PrepareOptions, without=(*SOURCE_OPTIONS, "progress"), choices={"filters": FILTERS})
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
def command(
    inputs: tuple[str, ...],
    sources: str | None,
    output: str,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Turn text into a store of token blocks.

    INPUTS are files (txt, jsonl, csv, tsv, parquet, arrow, fasta; also .gz, .zst, .bz2, .xz, .lz4,
    .zip, .tar), patterns, folders of the `datasets` library or of MDS shards, URLs (s3://, gs://,
    abfs://, hf://, https://) of files, patterns or folders, or - for standard input. A text file
    holds one document per line, a FASTA file one per record; with --format document, a file or a
    file of a folder is one document. The store opens with `datasets.load_from_disk` too. A killed
    run resumes when the same command is given again; the result is the same, byte for byte.
    """
    from mlmfast.cli.process.frameworks import leave_out_frameworks
    from mlmfast.cli.process.log import show_log
    from mlmfast.data.prepare.run import run_prepare

    leave_out_frameworks()
    show_log(quiet=quiet)
    options["add_tokens"] = options["add_tokens"] or ()
    given = PrepareOptions(progress=not quiet, **options)
    if sources is not None:
        _prepare_several(sources, inputs, output, given, as_json=as_json, quiet=quiet)
        return
    report = run_prepare(list(inputs), output, given)
    if as_json:
        click.echo(json.dumps(report.as_dict(), ensure_ascii=False))
        return
    for warning in report.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if not quiet:
        click.echo(_summary(report))


def _prepare_several(
    file: str,
    inputs: tuple[str, ...],
    output: str,
    options: PrepareOptions,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    from mlmfast.data.prepare.several import run_prepare_several
    from mlmfast.fs.settings import read_mapping

    if inputs or options.dataset_name is not None:
        raise InputError(f"--sources {file} names what to read: leave out other inputs.")
    sources = read_mapping(file, "`wiki: wiki/*.jsonl`")
    reports = run_prepare_several(sources, output, options)
    if as_json:
        found = {name: report.as_dict() for name, report in reports.items()}
        click.echo(json.dumps({"output": output, "sources": found}, ensure_ascii=False))
        return
    for report in reports.values():
        for warning in report.warnings:
            click.echo(f"Warning: {warning}", err=True)
    if quiet:
        return
    for name, report in reports.items():
        click.echo(f"{name}:\n" + "\n".join(f"  {line}" for line in _facts(report)))
    data = " ".join(f"--data {report.output} auto" for report in reports.values())
    model = _model(next(iter(reports.values())))
    click.echo(f"Next     mlmfast train {data} {model} --output model/")


def _summary(report: PrepareReport) -> str:
    next_step = f"Next     mlmfast train {report.output} {_model(report)} --output model/"
    return "\n".join([*_facts(report), next_step])


def _facts(report: PrepareReport) -> list[str]:
    from mlmfast.data.prepare.report import counted

    sizes = report.as_dict()
    counts = [counted(report.documents, "document")]
    for number, description in (
        (report.empty, "empty"),
        (report.null, "null, left out"),
        (report.replaced, "with invalid UTF-8 replaced"),
        (report.skipped, "with invalid UTF-8, left out"),
        (report.duplicates, "that came before, left out"),
    ):
        if number:
            counts.append(f"{number:,} {description}")
    filtered = [f"{number:,} by {rule}" for rule, number in report.filtered.items() if number]
    lines_left_out = sum(report.dropped_lines.values())
    blocks = f"{counted(report.tokens, 'token')} -> {counted(report.blocks, 'block')}"
    lines = [
        f"Read     {', '.join(counts)}; {report.text_bytes / 1e6:,.1f} MB of text",
        *([f"Filtered {', '.join(filtered)}"] if filtered else []),
        *([f"Dropped  {counted(lines_left_out, 'line')} of others"] if lines_left_out else []),
        f"Made     {blocks} of {sizes['block_size']}; {_end(report)}",
        (
            f"Took     {report.seconds:,.1f} s: {sizes['megabytes_per_second']:,.1f} MB/s, "
            f"{sizes['tokens_per_second']:,} tokens/s"
        ),
    ]
    if report.kept_shards:
        kept = counted(report.kept_shards, "finished shard")
        lines.append(f"Kept     {kept} with {counted(report.kept_tokens, 'token')} before that")
    lines += [
        f"{name.capitalize():8} {counted(len(store), 'block')} in {store.location}"
        for name, store in report.stores.items()
    ]
    return lines


def _end(report: PrepareReport) -> str:
    from mlmfast.data.prepare.report import counted

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
    """Guess the model of the tokenizer, for the next command."""
    name = report.stores["train"].manifest.tokenizer
    folder = Path(name).expanduser()
    if not folder.exists() or (folder / "config.json").exists():
        return f"--model {name}"
    return "--from-scratch --model-type roberta"
