"""What the library logs, on the command line: plain sentences on stderr."""

from __future__ import annotations

import logging

import click


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = "Warning: " if record.levelno >= logging.WARNING else ""
        click.echo(f"{prefix}{self.format(record)}", err=True)


def show_log(*, quiet: bool, silent: bool = False) -> None:
    """Show the log of mlmfast on stderr: all of it, or with `quiet` the warnings alone.

    `silent` shows errors alone, for a process beside the one that speaks.
    """
    logger = logging.getLogger("mlmfast")
    level = logging.WARNING if quiet else logging.INFO
    logger.setLevel(logging.ERROR if silent else level)
    logger.handlers = [_Stderr()]
    logger.propagate = False
