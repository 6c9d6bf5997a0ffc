"""The edges of each kind of normalizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.verification.edges.borders import BLOCK, at_all_offsets, at_borders
from mlmfast.data.tokenization.verification.edges.charsmap import keys_of
from mlmfast.data.tokenization.verification.edges.vocabulary import steps_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WHITE = (" ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\x0b", "\u200b", "\x85")
# More than a stretch, the longest text that the core handles at once.
_LONG = 3000
# Keys of a map of characters; the largest have ten times as many.
_KEYS = 8000


def _white_ends(_step: dict[str, Any]) -> Iterator[str]:
    """White space of each kind at both ends of texts, short and longer than a stretch."""
    inner = "one two " * (_LONG // 8)
    for white in WHITE:
        for run in (white, white * 2, white * 3, f" {white}", f"{white} "):
            yield from (run, f"{run}a", f"a{run}", f"{run}a b{run}", f"{run}.{run}a{run}")
        yield f"{white}{inner}{white}"
        yield f"{white * 2}{inner.strip()}{white * 2}"
        yield f"{inner.strip()}{white}\u0301"


def _replace(step: dict[str, Any]) -> Iterator[str]:
    """The pattern once, again and again, in parts, and at borders."""
    pattern = step.get("pattern") or {}
    text = pattern.get("String")
    content = step.get("content") or ""
    yield from white_runs()
    for part in (text, content):
        if not part:
            continue
        for count in (1, 2, 3, 5):
            run = part * count
            yield from (run, f"a{run}b", f"a {run} b", f" {run}", f"{run} ", f"{run}{part[:1]}b")
            yield from (f"{part[:-1]}{run}", f"a\n{run}\n", f"{run}\u0301", f".{run}.")
        yield from at_borders(part)


def _prepend(step: dict[str, Any]) -> Iterator[str]:
    """Texts that begin with the prefix already, in part, or are nothing else."""
    prefix = step.get("prepend") or ""
    for start in (prefix, prefix * 2, prefix[:1], " ", "  ", f" {prefix}", "\n", ""):
        yield from (start, f"{start}a", f"{start}{prefix}a b", f"{start}\u0301", f"{start}.")


def _precompiled(step: dict[str, Any]) -> Iterator[str]:
    """Keys of several characters, alone and in words, and what they may join with."""
    keys = keys_of(step.get("precompiled_charsmap") or "")
    keys = keys[:: max(1, len(keys) // _KEYS)]
    for start in range(0, len(keys), BLOCK):
        some = keys[start : start + BLOCK]
        yield " ".join(some)
        yield "".join(f"a{key}" for key in some)
        yield "\u0301".join(some)
    yield from white_runs()


def _bert(_step: dict[str, Any]) -> Iterator[str]:
    """Removed and ideographic characters within words, and accents in both orders."""
    for one in ("\0", "\ufffd", "\x0b", "\u200b", "\u00ad", "\u4e00", "\u8a9e", "\uff21", "\u0130"):
        yield from (
            f"a{one}b",
            f"{one}",
            f" {one} ",
            f"a{one}{one}b",
            f"A{one}\u0301B",
            f"##{one}a",
        )
        yield from at_borders(f"A{one}")


def _composing(_step: dict[str, Any]) -> Iterator[str]:
    """Letters and marks that compose, decompose or change places, at block borders."""
    for text in ("e\u0301", "E\u0323\u0302", "\u1100\u1161\u11a8", "\u212b", "\ufb01", "\u0130i"):
        yield from at_borders(text)
    yield from ("a \u0301b", "a\n\u0338", "\u0301", "<\u0338", "a\u0315\u0300\u05ae\u0062")


def white_runs() -> Iterator[str]:
    """Yield runs of spaces of every length up to two blocks, and mixed white space."""
    for count in range(1, 2 * BLOCK + 2):
        run = " " * count
        yield f"a{run}b{run}.{run}"
        yield f"{run}a"
    for count in (2, 3, 4, 5):
        yield from at_all_offsets(f"a{' ' * count}b")
    for one in WHITE:
        for other in WHITE:
            yield f"{one}{other}a{one}{other}b{other}{one}{one}.{one}{other}"


_NORMALIZERS: dict[str, Callable[[dict[str, Any]], Iterator[str]]] = {
    "Strip": _white_ends,
    "Replace": _replace,
    "Prepend": _prepend,
    "Precompiled": _precompiled,
    "BertNormalizer": _bert,
    "Lowercase": _composing,
    "StripAccents": _composing,
    "NFC": _composing,
    "NFD": _composing,
    "NFKC": _composing,
    "NFKD": _composing,
    "Nmt": _white_ends,
}


def normalizer_texts(content: dict[str, Any]) -> Iterator[str]:
    """Yield the edges of each step of the normalizer of `content`, a tokenizer.json."""
    for step in steps_of(content.get("normalizer")):
        own = _NORMALIZERS.get(step.get("type", ""))
        if own is not None:
            yield from own(step)
