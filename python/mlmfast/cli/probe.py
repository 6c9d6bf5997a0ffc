"""`mlmfast probe`."""

from __future__ import annotations

import json
from typing import Any

import click

from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.cli.flags.from_options import option_flags
from mlmfast.training.probing.options import ProbeOptions


@click.command(
    "probe",
    cls=ExampleCommand,
    example="""
    mlmfast probe model/ --train train.csv --test test.csv
    mlmfast probe bert-base-uncased model/ --train train.csv --test test.csv --output probe/
    mlmfast probe base/ model/ --train texts.jsonl --label-column topic --finetune --output out/
    """,
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@option_flags(ProbeOptions, without=("progress",))
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(models: tuple[str, ...], quiet: bool, as_json: bool, **options: Any) -> None:
    """Measure how well each MODEL tells the classes of labelled texts apart.

    A linear probe is a logistic regression on the states of the frozen model; --finetune trains the
    model as well. Prints accuracy and macro-F1 with standard errors over the seeds, and compares
    the later models with the first, on the same texts.
    """
    from mlmfast.cli.process.log import show_log
    from mlmfast.training.probing.probe import probe

    show_log(quiet=quiet)
    result = probe(list(models), progress=not quiet, **options)
    click.echo(json.dumps(result.to_dict(), ensure_ascii=False) if as_json else result)
