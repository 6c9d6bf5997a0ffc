"""What the library logs, on the command line: plain sentences on stderr."""

from __future__ import annotations

import logging

import click


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = "Warning: " if record.levelno >= logging.WARNING else ""
        click.echo(f"{prefix}{self.format(record)}", err=True)


def show_log(*, quiet: bool) -> None:
    """Show the log of mlmfast on stderr: all of it, or with `quiet` the warnings alone."""
    logger = logging.getLogger("mlmfast")
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.handlers = [_Stderr()]
    logger.propagate = False
