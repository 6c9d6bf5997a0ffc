"""Texts with a tokenizer's added tokens, in all surroundings that their rules speak of."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.verification.edges.borders import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# All kinds of added tokens are tried: this many of the shortest and of the longest of each kind.
_PER_KIND = 4
# Every one of this many is put beside every other.
_PAIRED = 12
_MAX_SPACE_RUN = 3 * BLOCK
# Longer than the stretches into which texts are cut.
_LONG = 5000
_TOKENS_PER_TEXT = 200

_AROUND = (
    *(
        "{}",
        " {}",
        "{} ",
        "  {}  ",
        "a{}b",
        "a {} b",
        "a{} b",
        "a {}b",
        "a  {}  b",
        "\t{}\n",
        "\n{}a",
    ),
    *(
        "{0}{0}",
        "{0} {0}",
        "{0}  {0}",
        "{0}a{0}",
        ".{}.",
        "_{}_",
        "7{}7",
        "'{}'s",
        "({}) ",
        "-{} -",
    ),
    *(
        "\u00e9{}\u00e9",
        "\u8a9e{}\u8a9e",
        "a\u0301{}\u0301a",
        "\u3000{}\u3000",
        "\u200b{}\u200b",
        "\u2581{}\u2581",
    ),
    *(
        "a\u00a0{}\u00a0b",
        "a\r\n{}\r\nb",
        "\0{}\0",
        "{}\u0301",
        "\u0600{}",
        "{}\u200d",
        "A {} . {} B",
    ),
)


def added_token_texts(tokens: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield texts that hold the tokenizer's added tokens.

    Args:
        tokens: The `added_tokens` of a tokenizer.json.
    """
    tokens = [token for token in tokens if token["content"]]
    contents = [token["content"] for token in tokens]
    for start in range(0, len(contents), _TOKENS_PER_TEXT):
        yield " x ".join(contents[start : start + _TOKENS_PER_TEXT])
    chosen = _of_each_kind(tokens)
    for content in chosen:
        yield from _everywhere(content)
        yield from _in_parts(content)
        yield from _in_long_texts(content)
    yield from _pairs(chosen[:_PAIRED])
    yield from _runs([content for content in contents if content.isspace()])


def _of_each_kind(tokens: Sequence[dict[str, Any]]) -> list[str]:
    """Return the shortest and the longest tokens of each kind, one of each kind first."""
    kinds: dict[tuple[Any, ...], list[str]] = {}
    for token in tokens:
        content = token["content"]
        options = (token.get(key) for key in ("single_word", "lstrip", "rstrip", "normalized"))
        ends = (content[:1].isalnum(), content[-1:].isalnum(), content.isspace(), content.isascii())
        inside = any(letter.isspace() for letter in content)
        kinds.setdefault((*options, *ends, inside), []).append(content)
    by_length = [sorted(contents, key=len) for contents in kinds.values()]
    ranks = (
        [contents[rank] for contents in by_length if -len(contents) <= rank < len(contents)]
        for rank in (*range(_PER_KIND), *range(-_PER_KIND, 0))
    )
    return list(dict.fromkeys(content for rank in ranks for content in rank))


def _everywhere(content: str) -> Iterator[str]:
    """A token in all surroundings, and at every offset from a block border."""
    for around in _AROUND:
        yield around.format(content, content)
    for offset in range(BLOCK + 1):
        start = "x" * offset
        yield f"{start}{content}return {content}"
        yield f"{start} {content} {content.upper()}{content}\t."


def _in_parts(content: str) -> Iterator[str]:
    """What is almost the token, before or after normalization, and what overlaps with it."""
    others = {content.upper(), content.lower(), content.title(), content.swapcase()}
    others |= {unicodedata.normalize(form, content) for form in ("NFC", "NFD", "NFKD")}
    others |= {"".join(_wide(letter) for letter in content), "".join(f"{c}\u0301" for c in content)}
    others |= {
        content.replace(" ", white) for white in ("\n", "\t", "  ", "\u00a0", "\u3000", "\u2581")
    }
    others |= {
        content.strip(),
        f"{content[:1]}\0{content[1:]}",
        f"{content[:1]}\u00ad{content[1:]}",
    }
    for other in sorted(others - {""}):
        yield from (other, f"a {other} b", f"a{other}b", f"{other}{content}")
    half = len(content) // 2
    for left, right in ((content[:-1], content[1:]), (content[:half], content[half:])):
        yield from (left, right, f"a {left} {right} b", f"{left}{content}", f"{content}{right}")
        yield f"{left}{right}{left} {content}"


def _in_long_texts(content: str) -> Iterator[str]:
    """Texts of several stretches, in which a cut could lie in the token or beside it."""
    for between in (" ", " a ", " a", "a ", ""):
        part = f"{content}{between}"
        for start in ("", "b ", "bc "):
            yield start + part * (_LONG // len(part))


def _pairs(contents: Sequence[str]) -> Iterator[str]:
    for one in contents:
        for other in contents:
            yield f"{one}{other} {one} {other}  {one}\n{other}"
            yield f"a{one}{other}b"
            yield f"{one}{other[1:]} {one[:-1]}{other}"


def _runs(runs: Sequence[str]) -> Iterator[str]:
    """Runs of spaces of all lengths, for tokens that are such runs."""
    longest = max(map(len, runs), default=0)
    for count in range(2, min(2 * longest + 2, _MAX_SPACE_RUN) + 1 if longest else 0):
        for offset in range(BLOCK + 1):
            yield f"{'x' * offset}{' ' * count}return"


def _wide(letter: str) -> str:
    """Return the full-width form of an ASCII character, which some normalizers map to it."""
    return chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter
