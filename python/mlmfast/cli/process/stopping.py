"""How commands that train end when a signal or the time limit stops them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def stopped_by_signals(ctx: click.Context, *, tell: bool) -> Iterator[None]:
    """End the command with the message and the exit status of a training that was stopped.

    Args:
        ctx: the command's context.
        tell: whether to print the message, which one of several processes does.
    """
    from mlmfast.training.trainer.interrupt import TrainingInterrupted

    try:
        yield
    except TrainingInterrupted as interrupted:
        if tell:
            click.echo(str(interrupted), err=True)
        ctx.exit(interrupted.exit_status)
