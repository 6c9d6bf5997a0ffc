"""`mlmfast train`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

import click
from click.core import ParameterSource

from mlmfast.cli.flags.command import Names, list_arguments
from mlmfast.cli.flags.documents import documents_option
from mlmfast.cli.flags.from_options import option_flags
from mlmfast.cli.flags.mixture import open_mixture
from mlmfast.cli.flags.train import Overrides, TrainCommand, run_mlm_flags
from mlmfast.cli.process.log import show_log
from mlmfast.cli.process.stopping import stopped_by_signals
from mlmfast.training.options.distillation import DistillationOptions
from mlmfast.training.options.length import LengthOptions

_EPILOG = """
All flags of run_mlm.py are options, with - or _. --config FILE (.yaml or .json; or FILE as the only
argument) sets options by the same names; the command line overrides it.

Every field of transformers.TrainingArguments is an option too, with - or _, such as
--learning-rate 1e-4 --num_train_epochs 1 --gradient-accumulation-steps 4 (--list-arguments shows
them); --optim takes muon, too. Defaults: learning rate 2e-5, weight decay 0.01, 3 epochs, batches
of 8, an evaluation and a checkpoint every epoch; with random weights a learning rate of 5e-4 after
a warm-up over 6 % of the steps, betas 0.9 and 0.98, epsilon 1e-6. `mlmfast run-mlm` has the
defaults of run_mlm.py.
"""


def _is_from_file(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP


def _describe() -> Iterable[str]:
    from mlmfast.training.options.arguments import describe_fields

    return describe_fields()


@click.command(
    "train",
    cls=TrainCommand,
    epilog=_EPILOG,
    example="""
    mlmfast train blocks/ --model distilroberta-base --output model/
    mlmfast train --train-file data.txt --model distilroberta-base --line-by-line --output model/
    mlmfast train blocks/ --model distilroberta-base --lora rank=16 --output model/
    mlmfast train --config settings.yaml --output model/
    mlmfast train --data wiki/ 0.7 --data code/ 0.3 --model distilroberta-base --output model/
    mlmfast train blocks/ --recipe domain --model distilroberta-base --output model/
    mlmfast train blocks/ --from-scratch --model-type roberta --output model/
    mlmfast train blocks/ --teacher roberta-base --student-layers 0,2,4,7,9,11 --output model/
    torchrun --nproc-per-node 2 -m mlmfast train blocks/ --model distilroberta-base --output model/
    """,
)
@click.argument("data", nargs=-1, type=click.Path())
@click.option(
    "--data",
    "mixture",
    nargs=2,
    multiple=True,
    metavar="STORE WEIGHT",
    help="A block store with its share of the blocks, in place of DATA; repeat it for a mixture. "
    "WEIGHT is a number, or auto in all for shares by size.",
)
@click.option(
    "--data-temperature",
    type=float,
    metavar="T",
    help="Flatten the shares of --data STORE auto: tokens to the power of 1/T.  [default: 1]",
)
@click.option(
    "--model", "--model-name-or-path", help="Checkpoint to start from: folder or Hub name."
)
@click.option("--output", "--output-dir", required=True, type=click.Path(), help="Folder to write.")
@click.option("--from-scratch", is_flag=True, help="Start from random weights.")
@click.option("--model-type", help="Architecture of a model with random weights, such as roberta.")
@click.option(
    "--config-overrides",
    type=Overrides(),
    metavar="NAME=VALUE,...",
    help="Changes to the configuration of a model with random weights.",
)
@click.option(
    "--eval-data",
    multiple=True,
    metavar="[NAME=]DATA",
    help="Blocks or raw text to evaluate on; repeat it for several, which are measured together "
    "and one by one. --text-column and the like say how text is read.  [default: DATA/test]",
)
@click.option(
    "--mlm-probability",
    metavar="RATE",
    help="Share of the tokens to select; uniform:LOW,HIGH or beta:A,B draws one for each block.  "
    "[default: 0.15; with random weights 0.3]",
)
@click.option("--mask-replace-prob", default=0.8, show_default=True, help="Share of them to mask.")
@click.option(
    "--random-replace-prob",
    default=0.1,
    show_default=True,
    help="Share of them to replace by a random token; the rest stays unchanged.",
)
@click.option(
    "--mask-mode",
    type=Names(("token", "whole_word", "span")),
    default="token",
    show_default=True,
    help="Unit of selection.",
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
    help="Change --mlm-probability over the steps, such as 0.3:0.15.",
)
@documents_option
@click.option(
    "--add-tokens",
    type=click.Path(),
    metavar="FILE",
    help="File with words to add as tokens, one per line; each starts as the mean of its pieces.",
)
@option_flags(LengthOptions)
@option_flags(DistillationOptions)
@click.option(
    "--lora",
    type=Overrides(),
    is_flag=False,
    flag_value="",
    metavar="[rank=16,targets=query+value,...]",
    help="Train low-rank adapters in place of all weights; also alpha=32, dropout=0, dora=true, "
    "rslora=true, targets=all-linear, modules_to_save=NAME. They are merged into the model.",
)
@click.option(
    "--keep-adapter", is_flag=True, help="Write the adapters of --lora alone, without the model."
)
@click.option(
    "--average-checkpoints",
    metavar="last:N|ema:DECAY",
    help="Make an average of the weights the result: last:5, at the last 5 checkpoints; ema:0.999, "
    "over the steps. The last weights are in OUTPUT/last.",
)
@click.option(
    "--recipe",
    metavar="FILE|NAME",
    help="A training in phases, each with its data, batches, masks and learning rate; flags "
    "override its options, not its phases (docs/recipes.md).",
)
@click.option(
    "--hours",
    type=float,
    metavar="H",
    help="Multiply all lengths of --recipe so that its steps take H hours at the speed that is "
    "measured at the start; a resume takes the same steps.",
)
@click.option(
    "--tokens-per-second",
    type=float,
    metavar="N",
    help="The speed for --hours, of all processes together.  [default: measured, in one process]",
)
@click.option(
    "--pack-documents",
    is_flag=True,
    help="Fill rows with the documents of a store with one per block, instead of padding them.",
)
@click.option(
    "--tokens-per-batch",
    type=int,
    metavar="N",
    help="As many blocks or packed rows in a batch as have N positions, in place of "
    "--per-device-train-batch-size.",
)
@click.option(
    "--seed", default=0, show_default=True, help="Seed of masks, order, dropout and new weights."
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="auto: bf16 if the hardware supports it.",
)
@click.option(
    "--overwrite",
    "--overwrite-output-dir",
    is_flag=True,
    help="Replace a model of an earlier training.",
)
@click.option(
    "--resume-from-checkpoint",
    is_flag=False,
    flag_value="last",
    metavar="[auto|FOLDER]",
    help="Resume an interrupted training from its latest checkpoint, or from FOLDER; auto: only if "
    "there is one.",
)
@click.option(
    "--override",
    is_flag=True,
    help="Resume with options that differ from those of the checkpoint.",
)
@click.option(
    "--max-time",
    metavar="DURATION",
    help="Stop after this time (2h, 90m, 1h30m, seconds), with an evaluation and a checkpoint.",
)
@run_mlm_flags
@click.option(
    "--config",
    expose_value=False,
    metavar="FILE",
    help="Options by name, in YAML or JSON; flags override them.",
)
@click.option(
    "--verify-store",
    is_flag=True,
    help="First compare every byte of the blocks with its checksums.",
)
@click.option(
    "--keep-checkpoints", is_flag=True, help="Keep the checkpoints, in the output folder."
)
@click.option("--push-to-hub", is_flag=True, help="Upload the finished model (--hub-model-id).")
@click.option(
    "--report/--no-report",
    default=True,
    help="Write report.html and training.png, the curves of the training.",
)
@click.option("--quiet", is_flag=True, help="Show no progress and no summary.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@list_arguments(_describe, text="List the training arguments and exit.")
@click.pass_context
def command(
    ctx: click.Context,
    data: tuple[str, ...],
    mixture: tuple[tuple[str, str], ...],
    data_temperature: float | None,
    eval_data: tuple[str, ...],
    recipe: str | None,
    resume_from_checkpoint: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a masked language model on DATA: a block store of `mlmfast prepare`, or text.

    --data STORE WEIGHT, given several times, mixes block stores.

    Text (files, a folder of files, --train-file or --dataset-name) is prepared first, into
    ~/.cache/mlmfast/blocks; the next training on the same text reuses the blocks.

    The output is a plain Hugging Face folder. Every epoch has new masks; the evaluation always has
    the same ones.
    """
    from mlmfast.data.store.named import named_folders
    from mlmfast.training.process.distributed import destroy_process_group
    from mlmfast.training.recipes.recipe import read_recipe
    from mlmfast.training.train import train

    first = os.environ.get("RANK", "0") == "0"
    show_log(quiet=quiet, silent=not first)
    resume = True if resume_from_checkpoint == "last" else resume_from_checkpoint
    with stopped_by_signals(ctx, tell=first):
        # What the command line names replaces what a file of settings or a recipe does.
        if data and _is_from_file(ctx, "mixture"):
            mixture, data_temperature = (), None
        if mixture and _is_from_file(ctx, "data"):
            data = ()
        named: Any = data[0] if len(data) == 1 else list(data) or None
        if mixture or data_temperature is not None:
            named = open_mixture(named, mixture, data_temperature)
        result = train(
            named,
            eval_data=named_folders(eval_data) if eval_data else None,
            recipe=read_recipe(recipe).without_options() if recipe else None,
            resume_from_checkpoint=resume,
            quiet=quiet,
            **options,
            **ctx.obj,
        )
    destroy_process_group()
    if not first:
        return
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    elif not quiet:
        click.echo(result)
        click.echo(f"next: mlmfast export {result.output} onnx/")
