"""`mlmfast doctor`."""

from __future__ import annotations

import json
import sys

import click

from mlmfast.cli.flags.command import ExampleCommand


@click.command("doctor", cls=ExampleCommand, example="mlmfast doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--limit",
    type=click.FloatRange(min=1),
    default=180.0,
    show_default=True,
    help="Seconds after which an import or a provider counts as hanging.",
)
def command(as_json: bool, limit: float) -> int:
    """Examine this environment: packages, providers, processor, GPUs, and how to fix faults.

    Every package and every provider of onnxruntime is tried in a process of its own. Exit status:
    0 if everything that is installed works, 1 if something that is installed is broken.
    """
    from mlmfast.doctor.examine import examine
    from mlmfast.doctor.text import describe

    if sys.stderr.isatty():
        click.echo("Trying each package in a process of its own ...", err=True)
    diagnosis = examine(limit=limit)
    if as_json:
        click.echo(json.dumps(diagnosis.to_json(), indent=2))
    else:
        click.echo(describe(diagnosis))
    return 1 if diagnosis.faults else 0
