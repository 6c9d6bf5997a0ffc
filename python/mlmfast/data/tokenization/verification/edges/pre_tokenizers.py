"""The edges of each kind of pre-tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.verification.edges.borders import BLOCK, at_all_offsets, at_borders
from mlmfast.data.tokenization.verification.edges.normalizers import WHITE, white_runs
from mlmfast.data.tokenization.verification.edges.vocabulary import steps_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENDINGS = ("s", "t", "m", "d", "re", "ve", "ll", "S", "LL", "rE", "x", "l", "r", "\u017f", "")
_DIGITS = "0123456789"


def _words(_step: dict[str, Any]) -> Iterator[str]:
    """Letters, digits, punctuation and white space in every order, and runs of each."""
    parts = (
        "a",
        "7",
        ".",
        "_",
        " ",
        "\n",
        "\u00e9",
        "\u8a9e",
        "\u0301",
        "\u0663",
        "\u2167",
        "\u200d",
    )
    for first in parts:
        for second in parts:
            for third in parts:
                yield f"b{first}{second}{third}b"
            yield from (f"{first}{second}", f"{first * 3}{second * 3}{first * 2}")
    for one in ("a", "7", ".", "-", "_", "!?", "a.", "\u00e9", "\u3002"):
        for count in (3, BLOCK - 1, BLOCK, BLOCK + 1, 150):
            yield f"{one * count} {one * count}"
    yield from white_runs()


def _patterns(step: dict[str, Any]) -> Iterator[str]:
    """Contractions, runs of digits and of line breaks, letters after a sign."""
    yield from _words(step)
    for ending in _ENDINGS:
        for quote in ("'", "\u2019", "''"):
            text = f"{quote}{ending}"
            yield from (
                text,
                f"a{text}",
                f"a{text}b",
                f" {text}",
                f"a {text}b",
                f"7{text}a",
                f".{text}",
            )
            yield from (f"{text}{text}", f"a\n{text}", f"A{text.upper()}", f"a  {text}")
        yield from at_borders(f"a'{ending}b")
    for count in (*range(1, 14), BLOCK - 1, BLOCK, BLOCK + 1, 200):
        run = (_DIGITS * (count // 10 + 1))[:count]
        yield from (
            run,
            f"a{run}b",
            f" {run} ",
            f"{run}.{run}",
            f"$ {run}",
            f"{run}\u0663",
            f"\u0663{run}",
        )
    for line_break in ("\n", "\r", "\r\n", "\n\n", "\n\r", "\u2028", "\x85", "\x0b"):
        for around in ("", " ", "  ", "\t", "."):
            text = f"{around}{line_break}{around}"
            yield from (
                text,
                f"a{text}b",
                f"a{text * 3}b",
                f".{text}.",
                f"7{text}7",
                f"a{text}  b{text}",
            )
        yield from at_borders(f".{line_break}b")
    for sign in (
        "$",
        "#",
        "/",
        "_",
        "-",
        "\u20ac",
        "\u3000",
        "\u00a0",
        "\t",
        "\u0301",
        "\U0001f600",
    ):
        yield from (
            f"{sign}abc",
            f" {sign}abc",
            f"a{sign}abc",
            f"{sign}{sign}abc",
            f"7{sign}7a",
            f"{sign} a",
        )
    literal = (step.get("pattern") or {}).get("String")
    if literal:
        yield from _repeated(literal)


def _delimiter(step: dict[str, Any]) -> Iterator[str]:
    yield from _repeated(step.get("delimiter") or " ")


def _repeated(text: str) -> Iterator[str]:
    """A delimiter at both ends, in runs, and at block borders."""
    for count in (1, 2, 3, 7):
        run = text * count
        yield from (
            run,
            f"{run}a",
            f"a{run}",
            f"a{run}b",
            f" {run} ",
            f"a {run} b",
            f"{run}a{run}b{run}",
        )
    yield from at_borders(f"a{text}")


def _metaspace(step: dict[str, Any]) -> Iterator[str]:
    """The sign for a space in the text itself, white space at both ends, and runs."""
    sign = step.get("replacement") or step.get("str_rep") or "\u2581"
    yield from white_runs()
    yield from _repeated(sign)
    for white in (*WHITE, sign):
        yield from (
            f"{white}a",
            f"{white}{sign}a",
            f"{sign}{white}a",
            f"a{white}",
            f"a{sign}{white}b",
        )
        yield from (
            white,
            f"{white}{white}",
            f"{white}.",
            f"a{white}{sign}{sign}b",
            f"{white}\u0301a",
        )


def _punctuation(step: dict[str, Any]) -> Iterator[str]:
    """Runs of one mark and of several, of ASCII and of others."""
    yield from _words(step)
    for mark in (
        "!",
        "...",
        "\u2026",
        "\u3002\u3001",
        "$",
        "`",
        "^",
        "\u00a7",
        "-\u2014",
        "\u2e48",
    ):
        for count in (1, 2, 5):
            run = mark * count
            yield from (run, f"a{run}b", f"{run}a{run}", f" {run} ", f"{run}7", f"{run}\u0301")
        yield from at_borders(f"a{mark}")


def _white(step: dict[str, Any]) -> Iterator[str]:
    yield from _words(step)
    for white in WHITE:
        yield from at_borders(f"a{white}b")
        yield from at_all_offsets(f"{white}{white}b")


_PRE_TOKENIZERS: dict[str, Callable[[dict[str, Any]], Iterator[str]]] = {
    "BertPreTokenizer": _punctuation,
    "Punctuation": _punctuation,
    "ByteLevel": _patterns,
    "Split": _patterns,
    "Digits": _patterns,
    "Whitespace": _white,
    "WhitespaceSplit": _white,
    "CharDelimiterSplit": _delimiter,
    "Metaspace": _metaspace,
    "UnicodeScripts": _words,
    "FixedLength": _words,
}


def pre_tokenizer_texts(content: dict[str, Any]) -> Iterator[str]:
    """Yield the edges of each step of the pre-tokenizer of `content`, a tokenizer.json."""
    for step in steps_of(content.get("pre_tokenizer")):
        yield from _PRE_TOKENIZERS.get(step.get("type", ""), _words)(step)
