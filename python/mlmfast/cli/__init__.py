"""The command line: `mlmfast COMMAND`.

A command's module is imported only when that command is called, so that `mlmfast --help` stays
quick and `mlmfast fill-mask` never loads torch.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from mlmfast.cli.flags.command import CONTEXT
from mlmfast.cli.process.frameworks import OWN_PROCESS
from mlmfast.errors import MlmfastError

# name -> (module, one line of help); the module holds a click command called `command`.
COMMANDS = {
    "prepare": (
        "mlmfast.cli.stores.prepare",
        "Text files or a data set -> a store of token blocks.",
    ),
    "train": ("mlmfast.cli.train", "Train a masked language model on a block store."),
    "recipe": ("mlmfast.cli.recipe", "Trainings in phases: what a recipe will do."),
    "run-mlm": ("mlmfast.cli.run_mlm", "run_mlm.py: its flags, its defaults, its files."),
    "evaluate": (
        "mlmfast.cli.evaluate",
        "Perplexity and accuracy of a checkpoint on fixed masks.",
    ),
    "probe": (
        "mlmfast.cli.probe",
        "How well checkpoints tell labelled texts apart: linear probes and fine-tuning.",
    ),
    "export": ("mlmfast.cli.export", "Checkpoint -> ONNX folder, compared with PyTorch."),
    "fill-mask": ("mlmfast.cli.fill_mask", "Fill the masks of a text with an ONNX folder."),
    "embed-sparse": (
        "mlmfast.cli.embed_sparse",
        "Weights of words for each text, for sparse retrieval (SPLADE).",
    ),
    "serve": ("mlmfast.cli.serve", "Fill masks over HTTP."),
    "convert": ("mlmfast.cli.stores.convert", "Block store <-> Parquet, Megatron, raw ids, lists."),
    "verify": ("mlmfast.cli.stores.verify", "Whether a block store is what was written."),
    "tokenizer": (
        "mlmfast.cli.tokenizers.tokenizer",
        "What encodes a tokenizer, whether its ids are exact, and how fast.",
    ),
    "train-tokenizer": ("mlmfast.cli.tokenizers.train_tokenizer", "Train a tokenizer on text."),
    "vocabulary": (
        "mlmfast.cli.tokenizers.vocabulary",
        "Give a checkpoint a vocabulary that fits the texts.",
    ),
    "demo": ("mlmfast.cli.demo", "Every stage in minutes, on text that comes with Python."),
    "doctor": ("mlmfast.cli.doctor", "What works in this environment, and what mends the rest."),
    "version": ("mlmfast.cli.version", "Versions of mlmfast and of the packages it uses."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name.replace("_", "-"))
        return importlib.import_module(entry[0]).command if entry else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings=CONTEXT)
@click.version_option(package_name="mlmfast", message="mlmfast %(version)s")
def group() -> None:
    """Text -> blocks -> masked batches -> trained model -> ONNX -> answers.

    Begin with `mlmfast demo`, which runs every stage in a few minutes.
    """


def main(*, own_process: bool = False) -> None:
    """Run the command line; exit status 0, 2 for a user's mistake, 130 after Ctrl-C.

    A command may return a status of its own.

    Args:
        own_process: whether the process ends with the command, which may then settle what holds
            for all of it.
    """
    try:
        status = group(standalone_mode=False, obj=OWN_PROCESS if own_process else None)
    except MlmfastError as error:
        if _speaks() or getattr(error, "of_one_process", False):
            click.echo(f"Error: {error}", err=True)
        status = 2
    except click.ClickException as error:
        if _speaks():
            error.show()
        status = 2
    except (KeyboardInterrupt, click.Abort) as error:
        # click puts its Abort in the place of the interrupt, which may say what was kept.
        interrupt = error.__cause__ if isinstance(error, click.Abort) else error
        kept = str(interrupt or "")
        if _speaks():
            click.echo(f"Interrupted: {kept or 'nothing half done was left behind.'}", err=True)
        status = 130
    except BrokenPipeError:
        status = 0  # the reader of our output went away, as in `mlmfast ... | head`
    sys.exit(status if isinstance(status, int) else 0)


def _speaks() -> bool:
    """Whether this is the process that says what all have to say, among those of `torchrun`."""
    return os.environ.get("RANK", "0") == "0"
