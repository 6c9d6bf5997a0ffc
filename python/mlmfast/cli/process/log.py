"""The log of the library on the command line: plain sentences on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import click


class _Stderr(logging.Handler):
    """Shows what is logged; what only explains a wait (`waiting`), to those who wait."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "waiting", False) and not sys.stderr.isatty():
            return
        prefix = "Warning: " if record.levelno >= logging.WARNING else ""
        click.echo(f"{prefix}{self.format(record)}", err=True)


def show_log(*, quiet: bool, silent: bool = False) -> None:
    """Show the log of mlmfast on standard error, as long as the command runs.

    Args:
        quiet: show only warnings and errors.
        silent: show only errors, as in all but the first of several processes.
    """
    logger = logging.getLogger("mlmfast")
    context = click.get_current_context(silent=True)
    if context is not None:  # a program that runs commands gets its own log back
        context.call_on_close(_restorer(logger))
    logger.handlers = [_Stderr()]
    logger.propagate = False
    level = logging.WARNING if quiet else logging.INFO
    logger.setLevel(logging.ERROR if silent else level)


def _restorer(logger: logging.Logger) -> Callable[[], None]:
    before = logger.level, logger.handlers, logger.propagate

    def restore() -> None:
        level, logger.handlers, logger.propagate = before
        logger.setLevel(level)

    return restore
