"""Answers as text for the terminal: a table for each mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mlmfast.serving.fill_mask import Answer, Row


def describe(text: str, answer: Answer) -> str:
    """Return a text with a table for each of its masks."""
    lines = [_one_line(text)]
    for number, part in enumerate(answer, start=1):
        if isinstance(part, dict):  # one mask: the answer is its rows
            return "\n".join([*lines, *_table(cast("list[Row]", answer))])
        lines += ["", f"  mask {number} of {len(answer)}", *_table(cast("list[Row]", part))]
    return "\n".join(lines)


def describe_score(text: str, score: float) -> str:
    """Return a text with its pseudo-log-likelihood."""
    return f"{score:10.3f}  {_one_line(text)}"


def _table(rows: list[Any]) -> list[str]:
    shown = [(_tokens(row), row) for row in rows]
    width = max((len(token) for token, _ in shown), default=0)
    return [
        f"  {row['score']:7.2%}  {token:{width}}  {_one_line(row['sequence'])}"
        for token, row in shown
    ]


def _tokens(row: dict[str, Any]) -> str:
    return (
        ", ".join(map(_token, row["token_strs"])) if "tokens" in row else _token(row["token_str"])
    )


def _token(text: str) -> str:
    """Return a token without the blank before it, in quotes if nothing of it is visible."""
    word = text.strip()
    return word if word and word.isprintable() else repr(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
