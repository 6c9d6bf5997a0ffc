"""`mlmfast evaluate`."""

from __future__ import annotations

import json

import click

from mlmfast.cli._command import ExampleCommand
from mlmfast.cli._log import show_log


@click.command(
    "evaluate", cls=ExampleCommand, example="mlmfast evaluate model/ --data blocks/test --json"
)
@click.argument("model")
@click.option(
    "--data", required=True, type=click.Path(), help="Block store; of one with splits, test."
)
@click.option("--batch-size", default=32, show_default=True, help="Blocks at a time.")
@click.option(
    "--mlm-probability", default=0.15, show_default=True, help="Share of the tokens to mask."
)
@click.option("--seed", default=0, show_default=True, help="Key of the masks.")
@click.option("--device", help="cpu, cuda, cuda:1 ...  [default: the GPU if there is one]")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="auto: bf16 where the hardware computes in it.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    model: str,
    data: str,
    batch_size: int,
    mlm_probability: float,
    seed: int,
    device: str | None,
    precision: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure MODEL (a folder or a Hub name) on a block store.

    Prints perplexity, accuracy at the masks and bits per byte. The masks depend on the seed alone:
    the answer is the same for any batch size.
    """
    from mlmfast.training.evaluation import evaluate

    show_log(quiet=quiet)
    found = evaluate(
        model,
        data,
        batch_size=batch_size,
        mlm_probability=mlm_probability,
        seed=seed,
        device=device,
        precision=precision,
        progress=not quiet,
    )
    click.echo(json.dumps(found.to_dict()) if as_json else found)
