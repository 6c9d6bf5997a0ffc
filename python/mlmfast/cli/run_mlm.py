"""`mlmfast run-mlm`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import click

from mlmfast.cli.flags.command import ExampleCommand, list_arguments
from mlmfast.cli.process.log import show_log
from mlmfast.cli.process.stopping import stopped_by_signals
from mlmfast.fs.settings import SUFFIXES, read_settings

_EPILOG = """
All flags of run_mlm.py, with its defaults: --model_name_or_path, --train_file, --line_by_line ...
and every field of transformers.TrainingArguments, with - or _ (--list-arguments shows them). A YAML
or JSON file with the flags may be the only argument. docs/run_mlm.md lists the differences.
"""


class RunMlmCommand(ExampleCommand):
    """A command that passes all words to the parser of run_mlm.py."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words in `ctx.obj`, unless they ask for help."""
        if {"-h", "--help", "--list-arguments"}.isdisjoint(args):
            ctx.obj = list(args)
            args = []
        return super().parse_args(ctx, args)


def _describe() -> Iterable[str]:
    from mlmfast.training.run_mlm.arguments import describe_run_mlm

    return describe_run_mlm()


@click.command(
    "run-mlm",
    cls=RunMlmCommand,
    epilog=_EPILOG,
    options_metavar="FLAGS",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    example="""
    mlmfast run-mlm --model_name_or_path bert-base --train_file t.txt --do_train --output_dir model/
    mlmfast run-mlm arguments.json
    torchrun --nproc-per-node 2 -m mlmfast run-mlm arguments.json
    """,
)
@list_arguments(_describe, text="List all flags with their defaults and exit.")
@click.pass_context
def command(ctx: click.Context, **_options: Any) -> None:
    """Train and evaluate with the command line of run_mlm.py, and write the same files.

    Replace `python run_mlm.py` by `mlmfast run-mlm`. The text is prepared first, into
    ~/.cache/mlmfast/blocks (or below --cache_dir); the next run on the same text reuses the blocks.
    """
    from mlmfast.training.process.distributed import destroy_process_group
    from mlmfast.training.process.state import isolated_state
    from mlmfast.training.run_mlm.arguments import parse_run_mlm
    from mlmfast.training.run_mlm.command import run_mlm

    first = os.environ.get("RANK", "0") == "0"
    show_log(quiet=False, silent=not first)
    words: list[str] = ctx.obj or []
    settings = {}
    if len(words) == 1 and words[0].lower().endswith(SUFFIXES):
        settings, words = read_settings(words[0]), []
    # Building the training arguments changes process-wide state of accelerate, too.
    with isolated_state(), stopped_by_signals(ctx, tell=first):
        run_mlm(*parse_run_mlm(words, settings))
    destroy_process_group()
