"""Make sure that the fast core is exact for a tokenizer, with this version of the library.

Versions of `tokenizers` differ in their Unicode tables, so that nothing is taken for granted: every
assigned code point is encoded by both, in several surroundings, and what differs is left to the
library from then on; then a corpus of hard texts must be equal, or the core is not used at all.
Code points that Python's own tables do not know, and those for private use, always go to the
library. The outcome is kept in the user's cache folder, by tokenizer and versions.
"""

from __future__ import annotations

import importlib.metadata
import json
import random
import sys
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast import _core
from mlmfast.data.tokenization.hf_encoder import encode_pieces
from mlmfast.errors import InputError
from mlmfast.fs.atomic import write_atomic
from mlmfast.fs.cache import cache_dir, digest
from mlmfast.fs.checksums import checksum_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tokenizers import Tokenizer


# ruff: noqa: RUF001 - ambiguous characters are what it is about


_WORDS = (
    "the The THE it's I'll we've they'd you're 'twas don't can't o'clock rock'n'roll 's 'S ' ''",
    "naïve café résumé Ångström Zürich İstanbul ǅungla ﬁsh ﬀ Straße ΣΊΣΥΦΟΣ ς привет мир ёлка",
    "你好 世界 吾輩は猫である。 東京都 カタカナ ｶﾀｶﾅ ﾊﾟ がギ 한국어 각 각 ภาษาไทย कुत्ता हिन्दी",
    "العربية مُحَمَّد עִבְרִית ﷺ ﻻ বাংলা தமிழ் Việt Nam Việt 1984 3.14159 1,000,000 ٣٤ Ⅻ ½ ①",
    "foo_bar foo-bar foo.bar() https://example.org/?q=a&b=c#d me@example.org C++ C# $5 50% x=y",
    "👍 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ ☂︎ ™ © … — – “quoted” ‘single’ „low“ «guillemets» · • № ␀ �",
    "supercalifragilisticexpialidocious antidisestablishmentarianism aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "fourteenletter fifteenletters! sixteen_letters_ seventeen-letters pneumonoultramicroscopic",
)
_JOINTS = (
    *(" ", "  ", "   ", "    ", " " * 15, " " * 40, "\n", "\n\n", "\r\n", "\t", "\t\t", " \n ", ""),
    *("\u00a0", "\u2009", "\u200b", "\u3000", "\ufeff", "\x0b", "\x0c", "\0", "\x7f", "\x85"),
    *("\u0301", "\u0338", "\u0600", "\u0e31", "\u200d", "\ufe0f", "\u2028", "\u00ad", "\u180e"),
    *(".", ",", "'", "`", "``", "''", '"', "-", "_", "[", "<", "|", "▁", "##", "Ġ", "\u1fef", "≮"),
)
_ALONE = (
    *("", " ", "  ", "\n", "\t", "\r\n", "\u3000", "\u0301", " \u0301", "a\u0301", "\u0301a", "\0"),
    *("a" * 99, "a" * 100, "a" * 101, "ab" * 700, "é" * 100, "é" * 101, "字" * 120, "あ" * 300),
    *("!" * 50, "." * 17, "-" * 100, "1" * 40, " a" * 50, "a  b   c    d     e      f"),
    *("e\u0323\u0302 e\u0302\u0323", "q\u0307\u0323", "\u1100\u1161\u11a8", "\u1112\u1161\u11ab"),
    *("K \u212b \u2126", "\u0958\u095b", "\ufb1d\ufb2a", "\ud7a3\u11a8", "a\u0315\u0300\u05ae"),
)
_COUNT = 1500
_PIECES_AT_MOST = 12
# The core looks at so many bytes at a time.
_BLOCK = 64
# Added tokens that are tried: all kinds, and so many of each.
_OF_A_KIND = 4
# Blanks that runs of them are made of, at most.
_BLANKS = 3 * _BLOCK


def added_token_texts(tokens: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield texts with a tokenizer's own added tokens, at every offset to a block's border.

    Args:
        tokens: `added_tokens` of a tokenizer.json.
    """
    kinds: dict[tuple[Any, ...], list[str]] = {}
    longest_run = 0
    for token in tokens:
        content = token["content"]
        if content.isspace():
            longest_run = max(longest_run, len(content))
        options = (token.get(key) for key in ("single_word", "lstrip", "rstrip", "normalized"))
        ends = (content[:1].isalnum(), content[-1:].isalnum(), content.isspace(), content.isascii())
        kinds.setdefault((*options, *ends), []).append(content)
    for contents in kinds.values():
        by_length = sorted(contents, key=len)
        for content in {*by_length[:_OF_A_KIND], *by_length[-_OF_A_KIND:]}:
            for offset in range(_BLOCK + 1):
                start = "x" * offset
                yield f"{start}{content}return {content}"
                yield f"{start} {content} {content.upper()}{content}\t."
    if longest_run:
        for count in range(2, min(2 * longest_run + 2, _BLANKS) + 1):
            for offset in range(_BLOCK + 1):
                yield f"{'x' * offset}{' ' * count}return"


def hard_texts() -> list[str]:
    """Return the corpus, the same in every process."""
    words = [word for line in _WORDS for word in line.split()]
    draw = random.Random(20)  # noqa: S311 - no secret
    texts = list(_ALONE)
    for _ in range(_COUNT):
        pieces = []
        for _ in range(draw.randint(1, _PIECES_AT_MOST)):
            pieces.append(draw.choice(words))
            pieces.append(" " if draw.random() < 0.5 else draw.choice(_JOINTS))
        texts.append("".join(pieces[: draw.randint(1, len(pieces))]))
    return texts


# Code points that are tried in one text; where they fail, parts of them are tried.
_GROUP = 64
_PARTS = 8
# Texts that the library gets at a time.
_PIECE = 64
# Past this many, the tables do not merely differ by version.
_TOO_MANY = 5000
# Planes of Unicode that hold characters; the others are unassigned or for private use as a whole.
_PLANES = (0, 1, 2, 3, 14)


@dataclass(frozen=True)
class Unsupported:
    """Why the core does not encode with a tokenizer."""

    reason: str
    surprising: bool = False
    """The core should know this tokenizer, and answers otherwise than its library."""

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason


def verified_encoder(tokenizer: Tokenizer) -> _core.Encoder | Unsupported:
    """Return the core's encoder for `tokenizer`, made sure of, or why there is none."""
    text = _content(tokenizer)
    cached = _cache_file(text)
    left = _read(cached)
    if left is not None:
        return _core_of(text, left)
    unknown = unknown_code_points()
    core = _core_of(text, unknown)
    if isinstance(core, Unsupported):
        return core
    try:
        differing = differing_code_points(tokenizer, core)
    except InputError as error:
        return Unsupported(str(error))
    if len(differing) > _TOO_MANY:
        return Unsupported(f"{len(differing):,} code points are encoded otherwise", surprising=True)
    left = [*unknown, *((point, point + 1) for point in differing)]
    if differing:
        core = _core_of(text, left)
        if isinstance(core, Unsupported):
            return core
    texts = [*hard_texts(), *added_token_texts(json.loads(text).get("added_tokens") or [])]
    wrong = next(iter(differing_texts(tokenizer, core, texts)), None)
    if wrong is not None:
        return Unsupported(f"the text {wrong!r} is encoded otherwise", surprising=True)
    _write(cached, {"differing": differing, "left": left})
    return core


def _content(tokenizer: Tokenizer) -> str:
    """Return tokenizer.json, without the special tokens where these are text like any other."""
    text = tokenizer.to_str()
    if not getattr(tokenizer, "encode_special_tokens", False):
        return text
    content = json.loads(text)
    tokens = content.get("added_tokens") or []
    kept = [token for token in tokens if not token.get("special")]
    return json.dumps({**content, "added_tokens": kept})


def _core_of(text: str, left: list[tuple[int, int]]) -> _core.Encoder | Unsupported:
    """Return the core's encoder for a tokenizer.json, to which the code points `left` are odd."""
    try:
        return _core.Encoder(text, left)
    except ValueError as error:
        return Unsupported(str(error))


@cache
def unknown_code_points() -> list[tuple[int, int]]:
    """Ranges (first, one past the last) that Python's tables do not know, or of private use."""
    ranges: list[tuple[int, int]] = []
    for plane in range(0, 0x110000, 0x10000):
        if plane >> 16 not in _PLANES:
            ranges.append((plane, plane + 0x10000))
            continue
        for point in range(plane, plane + 0x10000):
            if unicodedata.category(chr(point)) in {"Cn", "Co"}:
                if ranges and ranges[-1][1] == point:
                    ranges[-1] = (ranges[-1][0], point + 1)
                else:
                    ranges.append((point, point + 1))
    return ranges


def known_code_points() -> list[int]:
    """Return all code points that Python's tables know, surrogates left out."""
    points = range(0x110000)
    unknown = {point for first, end in unknown_code_points() for point in range(first, end)}
    return [point for point in points if point not in unknown and not 0xD800 <= point < 0xE000]


def differing_code_points(tokenizer: Tokenizer, core: _core.Encoder) -> list[int]:
    """Code points that `core` encodes otherwise than `tokenizer`, alone or among others."""
    known = known_code_points()
    groups = [known[start : start + _GROUP] for start in range(0, len(known), _GROUP)]
    found: list[int] = []
    while groups:
        equal, pending = _compare(tokenizer, core, [_surrounded(group) for group in groups])
        again = []
        for group, same, left in zip(groups, equal, pending, strict=True):
            if len(group) == 1:
                found += [] if same else group
            elif left or not same:  # what is pending hides the others
                size = -(-len(group) // _PARTS)
                again += [group[at : at + size] for at in range(0, len(group), size)]
        groups = again
    return found


def differing_texts(
    tokenizer: Tokenizer, core: _core.Encoder, texts: Sequence[str]
) -> Iterable[str]:
    """Yield the texts that `core` encodes otherwise than `tokenizer`."""
    equal, _ = _compare(tokenizer, core, texts)
    return (text for text, same in zip(texts, equal, strict=True) if not same)


def _surrounded(points: Sequence[int]) -> str:
    """Put characters into a text in all ways in which a pipeline may see them differently."""
    return " ".join(_FEW.format(chr(p)) if _is_plain(p) else _MANY.format(chr(p)) for p in points)


# Alone, in a word, beside punctuation, twice, before a contraction; the others show whether a mark
# stays where it is among other marks, and whether it joins a letter that is folded.
_FEW = "{0} a{0}b {0}'s"
_MANY = _FEW + " a?{0}b {0}{0} a{0}\u0301 a{0}\u0323\u0301 a\u0301{0}\u0323e \u00aa{0}x {0}\u00aa"


def _is_plain(point: int) -> bool:
    """Tell if a character is one of the ideographs and syllables that are all treated alike."""
    # Compatibility ideographs, which normalizers change, have a decomposition; so have syllables of
    # Hangul, by rule.
    if 0xAC00 <= point < 0xD7A4:
        return True
    letter = chr(point)
    many = 0x3400 <= point < 0xA000 or point >= 0x12000
    return many and unicodedata.category(letter) == "Lo" and not unicodedata.decomposition(letter)


def _compare(
    tokenizer: Tokenizer, core: _core.Encoder, texts: Sequence[str]
) -> tuple[list[bool], list[bool]]:
    """Tell of each text if it is encoded alike, and if the core left some of it to the library."""
    encoded = core.encode(
        pa.array(texts, pa.large_string()), before=[], after=[], narrow=False, threads=None
    )
    pending = np.zeros(len(texts), bool)
    pending[encoded.pending_rows()] = True
    lengths, answers = _by_library(tokenizer, encoded.pending())
    offsets, ids = encoded.finish(answers, lengths.astype(np.uintp))
    ours = np.split(ids, offsets[1:-1])
    lengths, ids = _by_library(tokenizer, texts)
    theirs = np.split(ids, np.cumsum(lengths)[:-1])
    equal = [np.array_equal(mine, other) for mine, other in zip(ours, theirs, strict=True)]
    return equal, pending.tolist()


def _by_library(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    pieces = (texts[at : at + _PIECE] for at in range(0, len(texts), _PIECE))
    return encode_pieces(tokenizer, pieces, dtype=np.dtype(np.uint32))


def _cache_file(text: str) -> Path:
    stamp = Path(_core.__file__).stat() if _core.__file__ else None
    parts = (
        text,
        importlib.metadata.version("tokenizers"),
        unicodedata.unidata_version,
        sys.version,
        _core.__version__,
        _core.simd(),  # other instructions are other code, which is made sure of anew
        str(stamp and (stamp.st_size, stamp.st_mtime_ns)),
    )
    name = digest(["\0".join(parts).encode()])
    return cache_dir("tokenizers") / f"{name}.json"


def _read(file: Path) -> list[tuple[int, int]] | None:
    """Return the ranges of code points that are left to the library; None if nothing is kept."""
    try:
        kept = json.loads(file.read_bytes())
        if kept["checksum"] != checksum_of(kept):
            return None
        return [(first, end) for first, end in kept["left"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path, outcome: dict[str, Any]) -> None:
    """Keep the outcome; a cache that cannot be written costs a second the next time."""
    content = {**outcome, "checksum": checksum_of(outcome)}
    with suppress(OSError):
        write_atomic(file, json.dumps(content).encode())
