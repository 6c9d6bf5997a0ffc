"""`mlmfast fill-mask`."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any, cast

import click

from mlmfast.cli._command import ExampleCommand
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlmfast.serving.fill_mask import Answer, Row


@click.command(
    "fill-mask",
    cls=ExampleCommand,
    example="""
    mlmfast fill-mask onnx/ "The Milky Way is a <mask> galaxy." --top-k 3
    mlmfast fill-mask onnx/ - --json < questions.txt
    """,
)
@click.argument("model")
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True)
@click.option("--top-k", type=int, default=5, show_default=True, help="Rows a mask gets.")
@click.option(
    "--targets",
    multiple=True,
    help="Words to choose from, with commas between them; blanks count, since ' word' and 'word' "
    "are two tokens to some models.",
)
@click.option(
    "--truncate", is_flag=True, help="Cut a text that is too long, instead of refusing it."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to run; cuda refuses to fall back to the CPU.",
)
@click.option("--threads", type=int, help="Threads on the CPU.  [default: all cores it may use]")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.option("--quiet", is_flag=True, help="Print no warnings about targets.")
def command(
    model: str,
    texts: tuple[str, ...],
    top_k: int,
    targets: tuple[str, ...],
    truncate: bool,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fill the masks of each TEXT with MODEL, a folder that `mlmfast export` wrote.

    A TEXT of - reads texts from standard input, one a line. With --json the answer has the form
    that `pipeline("fill-mask")` gives: a list of rows for one mask, a list of such lists for
    several masks, and a list of answers for several texts.
    """
    from mlmfast.serving.fill_mask import FillMask

    if quiet:
        logging.getLogger("mlmfast").setLevel(logging.ERROR)
    fill_mask = FillMask(model, device=device, threads=threads)
    words = [word for group in targets for word in group.split(",") if word]
    asked: dict[str, Any] = {
        "top_k": top_k,
        "targets": words if targets else None,
        "tokenizer_kwargs": {"truncation": truncate},
    }
    given = read_texts(texts)
    if as_json:
        click.echo(json.dumps(fill_mask(list(given), **asked), ensure_ascii=False))
        return
    # At a terminal every line is answered as soon as it is typed.
    at_once = 1 if "-" in texts and sys.stdin.isatty() else 256
    pending: list[str] = []
    for answer in fill_mask.stream(_remembered(given, pending), read_ahead=at_once, **asked):
        click.echo(describe(pending.pop(0), answer) + "\n")


def read_texts(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts, and for a `-` the lines of standard input that are not blank."""
    for text in texts:
        if text != "-":
            yield text
            continue
        found = False
        for number, line in enumerate(sys.stdin.buffer, start=1):
            try:
                decoded = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"Line {number} of standard input is not valid UTF-8 (byte {error.start})."
                ) from error
            if decoded.strip():
                found = True
                yield decoded
        if not found:
            raise InputError("Standard input holds no text.")


def _remembered(texts: Iterable[str], pending: list[str]) -> Iterator[str]:
    """Yield the texts, and keep those whose answer has not come yet."""
    for text in texts:
        pending.append(text)
        yield text


def describe(text: str, answer: Answer) -> str:
    """Write one text with the table of each of its masks, for people."""
    lines = [_one_line(text)]
    for number, part in enumerate(answer, start=1):
        if isinstance(part, dict):  # one mask: the answer is its rows
            return "\n".join([*lines, *_table(cast("list[Row]", answer))])
        lines += ["", f"  mask {number} of {len(answer)}", *_table(cast("list[Row]", part))]
    return "\n".join(lines)


def _table(rows: list[Row]) -> list[str]:
    shown = [(_token(row["token_str"]), row) for row in rows]
    width = max((len(token) for token, _ in shown), default=0)
    return [
        f"  {row['score']:7.2%}  {token:{width}}  {_one_line(row['sequence'])}"
        for token, row in shown
    ]


def _token(text: str) -> str:
    """Show a token without the blank before it, and one that has nothing to show in quotes."""
    word = text.strip()
    return word if word and word.isprintable() else repr(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
