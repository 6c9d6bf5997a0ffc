"""Writes the answers of a run to a file, with a progress bar and a summary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mlmfast.cli.bulk.input_texts import count_texts
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlmfast.cli.bulk.answers_file import AnswerWriter
    from mlmfast.cli.bulk.input_texts import InputText


def write_answers(
    answered: Iterable[tuple[InputText, Any]],
    writer: AnswerWriter,
    options: dict[str, Any],
    *,
    quiet: bool,
) -> None:
    """Write a row for each text: its line, its text, and its answer or its error.

    Args:
        answered: the texts with their answers or errors.
        writer: the file.
        options: those of the command.
        quiet: show no progress and no summary.
    """
    from tqdm import tqdm

    total = (
        len(options["texts"])
        if options["source"] is None
        else count_texts(options["source"], options["kind"])
    )
    errors = count = 0
    with tqdm(total=total, unit=" texts", disable=True if quiet else None) as bar:
        for one, answer in answered:
            failed = isinstance(answer, InputError)
            row = {"line": one.line, "text": one.text}
            writer.write({**row, "error": str(answer)} if failed else {**row, "answer": answer})
            errors += failed
            count += 1
            bar.update()
    summary = {"output": options["output"], "texts": count, "errors": errors}
    if options["as_json"]:
        click.echo(json.dumps(summary))
    elif not quiet:
        wrong = f", {errors:,} of them with an error" if errors else ""
        click.echo(f"{count:,} texts{wrong} -> {options['output']}", err=True)
