"""`mlmfast train`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

import click

from mlmfast.cli._command import Names, list_arguments
from mlmfast.cli._log import show_log
from mlmfast.cli._stopping import stopped_by_signals
from mlmfast.cli._train_flags import Overrides, TrainCommand, run_mlm_flags

_EPILOG = """
All flags of run_mlm.py are options, with - or _. --config FILE (.yaml or .json; or FILE alone)
gives options by the same names; those of the command line win.

Every field of transformers.TrainingArguments is an option too, with - or _, such as
--learning-rate 1e-4 --num_train_epochs 1 --gradient-accumulation-steps 4 (--list-arguments shows
them). Without any: learning rate 2e-5, weight decay 0.01, 3 epochs, batches of 8, an evaluation and
a checkpoint every epoch; from random weights learning rate 5e-4 after a warm-up over 6 % of the
steps, betas 0.9 and 0.98, epsilon 1e-6. `mlmfast run-mlm` has run_mlm.py's own defaults.
"""


def _described() -> Iterable[str]:
    from mlmfast.training.options.arguments import describe_fields

    return describe_fields()


@click.command(
    "train",
    cls=TrainCommand,
    epilog=_EPILOG,
    example="""
    mlmfast train blocks/ --model distilroberta-base --output model/
    mlmfast train --train-file data.txt --model distilroberta-base --line-by-line --output model/
    mlmfast train --config settings.yaml --output model/
    mlmfast train blocks/ --from-scratch --model-type roberta --output model/
    torchrun --nproc-per-node 2 -m mlmfast train blocks/ --model distilroberta-base --output model/
    """,
)
@click.argument("data", nargs=-1, type=click.Path())
@click.option(
    "--model", "--model-name-or-path", help="Checkpoint to begin with: folder or Hub name."
)
@click.option("--output", "--output-dir", required=True, type=click.Path(), help="Folder to write.")
@click.option("--from-scratch", is_flag=True, help="Start from random weights.")
@click.option("--model-type", help="From random weights: the architecture, such as roberta.")
@click.option(
    "--config-overrides",
    type=Overrides(),
    metavar="NAME=VALUE,...",
    help="From random weights: changes of the configuration.",
)
@click.option("--eval-data", type=click.Path(), help="Blocks to measure on.  [default: DATA/test]")
@click.option(
    "--mlm-probability",
    type=float,
    help="Share of the tokens to choose.  [default: 0.15; from random weights 0.3]",
)
@click.option("--mask-replace-prob", default=0.8, show_default=True, help="Share of these to mask.")
@click.option(
    "--random-replace-prob",
    default=0.1,
    show_default=True,
    help="Share of these to replace by a random token; the rest stays.",
)
@click.option(
    "--mask-mode",
    type=Names(("token", "whole_word", "span")),
    default="token",
    show_default=True,
    help="What is chosen as one.",
)
@click.option("--whole-word", is_flag=True, help="The same as --mask-mode whole_word.")
@click.option(
    "--word-boundaries",
    type=Names(("marker", "characters")),
    default="marker",
    show_default=True,
    help="How whole words are found; characters: in text without blanks, too.",
)
@click.option(
    "--mask-rate-schedule",
    metavar="START:END[:cosine]",
    help="Let the share of chosen tokens change over the steps, such as 0.3:0.15.",
)
@click.option(
    "--add-tokens",
    type=click.Path(),
    metavar="FILE",
    help="Words, one a line, to become tokens; their rows begin as the means of their pieces'.",
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
    metavar="[auto|FOLDER]",
    help="Go on with an interrupted training, from its latest checkpoint or from FOLDER; auto: if "
    "there is one, else begin.",
)
@click.option(
    "--override",
    is_flag=True,
    help="On a resume, take options that are not the checkpoint's, from its step on.",
)
@click.option(
    "--max-time",
    metavar="DURATION",
    help="Stop after so long (2h, 90m, 1h30m, seconds), with an evaluation and a checkpoint.",
)
@run_mlm_flags
@click.option(
    "--config",
    expose_value=False,
    metavar="FILE",
    help="Options by name, in YAML or JSON; flags win.",
)
@click.option("--verify-store", is_flag=True, help="Read every byte of the blocks before.")
@click.option("--keep-checkpoints", is_flag=True, help="Keep the checkpoints, in the output.")
@click.option("--push-to-hub", is_flag=True, help="Upload the finished model (--hub-model-id).")
@click.option(
    "--report/--no-report",
    default=True,
    help="Write report.html and training.png, the curves, into the output too.",
)
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the figures.")
@list_arguments(_described, text="List the training arguments and exit.")
@click.pass_context
def command(
    ctx: click.Context,
    data: tuple[str, ...],
    resume_from_checkpoint: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a masked language model on DATA: a block store of `mlmfast prepare`, or text.

    Text (files, a folder of them, --train-file or --dataset-name) is prepared first, into
    ~/.cache/mlmfast/blocks, where the next training on it finds the blocks.

    The output is a plain Hugging Face folder. The masks are new in every epoch; the evaluation's
    masks are always the same.
    """
    from mlmfast.training.process.distributed import destroy_process_group
    from mlmfast.training.train import train

    first = os.environ.get("RANK", "0") == "0"
    show_log(quiet=quiet, silent=not first)
    resume = True if resume_from_checkpoint == "last" else resume_from_checkpoint
    with stopped_by_signals(ctx, tell=first):
        named = data[0] if len(data) == 1 else list(data) or None
        result = train(named, resume_from_checkpoint=resume, quiet=quiet, **options, **ctx.obj)
    destroy_process_group()
    if not first:
        return
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    elif not quiet:
        click.echo(result)
        click.echo(f"next: mlmfast export {result.output} onnx/")
