"""`mlmfast demo`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.cli.process.log import show_log
from mlmfast.demo.options import DemoOptions


@click.command(
    "demo",
    cls=ExampleCommand,
    example="""
    mlmfast demo
    mlmfast demo --data mine.jsonl --text-column answers.text --model distilroberta-base
    """,
)
@click.option("--output", type=click.Path(), default="demo", show_default=True, help="Folder.")
@click.option(
    "--seconds",
    default=float(DemoOptions.seconds),
    show_default=True,
    help="How long the training should take.",
)
@click.option(
    "--data",
    multiple=True,
    help="Text files of your own, as `mlmfast prepare` takes them; may be given several times.  "
    "[default: Python's own documentation]",
)
@click.option(
    "--text-column", default="text", show_default=True, help="The column with the text in --data."
)
@click.option("--model", help="Checkpoint to adapt.  [default: a small ModernBERT from scratch]")
@click.option("--text", "texts", multiple=True, help="A sentence with <mask> to fill at the end.")
@click.option(
    "--fresh",
    is_flag=True,
    help="Run every stage again, finished or not.",
)
@click.option("--quiet", is_flag=True, help="No report.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a report.")
@click.pass_context
def command(
    ctx: click.Context,
    output: str,
    seconds: float,
    data: tuple[str, ...],
    text_column: str,
    model: str | None,
    texts: tuple[str, ...],
    fresh: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run every stage in a few minutes, without a network.

    From text that comes with Python it makes a tokenizer, token blocks, a small masked language
    model trained from scratch, an ONNX model and filled masks. A repeated call skips the finished
    stages.
    """
    from mlmfast.demo.run import run_demo

    show_log(quiet=quiet)
    options = DemoOptions(
        output=Path(output),
        seconds=seconds,
        data=data,
        text_column=text_column,
        model=model,
        texts=texts,
        fresh=fresh,
    )
    say = (lambda _line: None) if quiet or as_json else click.echo
    try:
        result = run_demo(options, say=say)
    except KeyboardInterrupt as stopped:
        click.echo(
            f"Interrupted: finished stages stay in {output}; the same command resumes from there.",
            err=True,
        )
        ctx.exit(getattr(stopped, "exit_status", 130))
    if as_json:
        click.echo(json.dumps(asdict(result), default=str))
