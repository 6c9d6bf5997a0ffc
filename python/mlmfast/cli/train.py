"""`mlmfast train`."""

from __future__ import annotations

import json
from typing import Any

import click

from mlmfast.cli._command import ExampleCommand
from mlmfast.cli._log import show_log

EPILOG = """
Every field of transformers.TrainingArguments is an option too, with - or _, such as
--learning-rate 1e-4 --num_train_epochs 1 --gradient-accumulation-steps 4 (--list-arguments shows
them). Without any: learning rate 2e-5, weight decay 0.01, 3 epochs, batches of 8, an evaluation and
a checkpoint every epoch.
"""


class TrainCommand(ExampleCommand):
    """A command that hands the flags it does not know to `transformers.TrainingArguments`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the training arguments out of the command line; click parses the rest."""
        own = {
            name.replace("_", "-")
            for parameter in self.get_params(ctx)
            for name in (*parameter.opts, *parameter.secondary_opts)
            if name.startswith("-")
        }
        ctx.obj = {}
        if any(word.startswith("--") and _name(word) not in own for word in args):
            from mlmfast.training.arguments import split_flags

            args, ctx.obj = split_flags(args, own)
        return super().parse_args(ctx, args)


def _name(word: str) -> str:
    return word.partition("=")[0].replace("_", "-")


def _list_arguments(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from mlmfast.training.arguments import describe_fields

    for line in describe_fields():
        click.echo(line)
    ctx.exit()


@click.command(
    "train",
    cls=TrainCommand,
    epilog=EPILOG,
    example="""
    mlmfast train blocks/ --model distilroberta-base --output model/
    mlmfast train blocks/ --from-scratch --model-type roberta --output model/ --learning-rate 1e-4
    """,
)
@click.argument("data", type=click.Path())
@click.option(
    "--model", "--model-name-or-path", help="Checkpoint to begin with: folder or Hub name."
)
@click.option("--output", "--output-dir", required=True, type=click.Path(), help="Folder to write.")
@click.option("--from-scratch", is_flag=True, help="Start from random weights.")
@click.option("--model-type", help="With --from-scratch: the architecture, such as roberta.")
@click.option(
    "--config-overrides",
    metavar="NAME=VALUE,...",
    help="With --from-scratch: changes of the configuration.",
)
@click.option("--eval-data", type=click.Path(), help="Blocks to measure on.  [default: DATA/test]")
@click.option(
    "--mlm-probability", default=0.15, show_default=True, help="Share of the tokens to choose."
)
@click.option("--mask-replace-prob", default=0.8, show_default=True, help="Share of these to mask.")
@click.option(
    "--random-replace-prob",
    default=0.1,
    show_default=True,
    help="Share of these to replace by a random token; the rest stays.",
)
@click.option("--seed", default=0, show_default=True, help="Of masks, order, dropout and weights.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="auto: bf16 where the hardware computes in it.",
)
@click.option(
    "--overwrite",
    "--overwrite-output-dir",
    is_flag=True,
    help="Replace a model that an earlier training wrote.",
)
@click.option(
    "--resume-from-checkpoint",
    is_flag=False,
    flag_value="last",
    metavar="[FOLDER]",
    help="Go on with an interrupted training, from its latest checkpoint or from FOLDER.",
)
@click.option("--keep-checkpoints", is_flag=True, help="Keep the checkpoints, in the output.")
@click.option("--push-to-hub", is_flag=True, help="Upload the finished model (--hub-model-id).")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the figures.")
@click.option(
    "--list-arguments",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_arguments,
    help="List the training arguments and exit.",
)
@click.pass_context
def command(
    ctx: click.Context,
    data: str,
    resume_from_checkpoint: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a masked language model on the block store DATA (a folder of `mlmfast prepare`).

    The output is a plain Hugging Face folder. The masks are new in every epoch; the evaluation's
    masks are always the same.
    """
    from mlmfast.training.interrupt import TrainingInterrupted
    from mlmfast.training.train import train

    show_log(quiet=quiet)
    resume = True if resume_from_checkpoint == "last" else resume_from_checkpoint
    try:
        result = train(data, resume_from_checkpoint=resume, quiet=quiet, **options, **ctx.obj)
    except TrainingInterrupted as interrupted:
        click.echo(str(interrupted), err=True)
        ctx.exit(130)
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    elif not quiet:
        click.echo(result)
        click.echo(f"next: mlmfast export {result.output} onnx/")
