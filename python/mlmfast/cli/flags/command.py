"""What all commands share: help that begins with an example, and names that take `-` or `_`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import click

from mlmfast.cli.process.quiet import silent_bars

CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    # run_mlm.py's flags are written with underscores: both spellings mean the same option.
    "token_normalize_func": lambda name: name.replace("_", "-"),
}


class Names(click.Choice[str]):
    """Choices shown as Python spells them, with `_`; `-` is accepted as well."""

    def normalize_choice(self, choice: Any, ctx: click.Context | None) -> str:
        return str(choice).replace("-", "_")


class _WithExample(click.Command):
    """Begins the help with examples: one command per line, without a leading `$`."""

    def __init__(self, *args: Any, example: str, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {}).update(CONTEXT)
        super().__init__(*args, **kwargs)
        self.example = example

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Not wrapped, so that each command can be copied.
        lines = [line.strip() for line in self.example.strip().splitlines()]
        formatter.write("\n  ".join(["Example:", *lines]) + "\n")
        formatter.write_paragraph()
        super().format_help(ctx, formatter)


class ExampleGroup(_WithExample, click.Group):
    """A group of commands whose help begins with examples."""


class ExampleCommand(_WithExample):
    """A command whose help begins with examples."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; with --quiet, without the progress bars of libraries."""
        with silent_bars() if ctx.params.get("quiet") else nullcontext():
            return super().invoke(ctx)


def list_arguments(describe: Callable[[], Iterable[str]], *, text: str) -> Callable[[Any], Any]:
    """Add `--list-arguments` with the help `text`: print the lines of `describe()` and exit."""

    def show(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if not value or ctx.resilient_parsing:
            return
        for line in describe():
            click.echo(line)
        ctx.exit()

    return click.option(
        "--list-arguments",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help=text,
    )
