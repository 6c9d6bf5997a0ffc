"""Verify that the core gives exactly the ids of the installed `tokenizers` library.

Versions of `tokenizers` differ in their Unicode tables, so each tokenizer is verified with the
installed version. Both encode every assigned code point, in several contexts; code points whose ids
differ fall back to the library from then on. Then both encode a corpus of hard texts; if any of
their ids differ, the core is not used for this tokenizer. Code points that Python's Unicode tables
do not know, and those for private use, always fall back to the library. The outcome is cached in
the user's cache folder, keyed by tokenizer and versions.
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


# ruff: noqa: RUF001 - the hard texts contain ambiguous characters on purpose


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
_JOINERS = (
    *(" ", "  ", "   ", "    ", " " * 15, " " * 40, "\n", "\n\n", "\r\n", "\t", "\t\t", " \n ", ""),
    *("\u00a0", "\u2009", "\u200b", "\u3000", "\ufeff", "\x0b", "\x0c", "\0", "\x7f", "\x85"),
    *("\u0301", "\u0338", "\u0600", "\u0e31", "\u200d", "\ufe0f", "\u2028", "\u00ad", "\u180e"),
    *(".", ",", "'", "`", "``", "''", '"', "-", "_", "[", "<", "|", "▁", "##", "Ġ", "\u1fef", "≮"),
)
_STANDALONE = (
    *("", " ", "  ", "\n", "\t", "\r\n", "\u3000", "\u0301", " \u0301", "a\u0301", "\u0301a", "\0"),
    *("a" * 99, "a" * 100, "a" * 101, "ab" * 700, "é" * 100, "é" * 101, "字" * 120, "あ" * 300),
    *("!" * 50, "." * 17, "-" * 100, "1" * 40, " a" * 50, "a  b   c    d     e      f"),
    *("e\u0323\u0302 e\u0302\u0323", "q\u0307\u0323", "\u1100\u1161\u11a8", "\u1112\u1161\u11ab"),
    *("K \u212b \u2126", "\u0958\u095b", "\ufb1d\ufb2a", "\ud7a3\u11a8", "a\u0315\u0300\u05ae"),
)
_GENERATED_TEXTS = 1500
_MAX_WORDS = 12
# The core scans text in blocks of this many bytes.
_BLOCK = 64
# All kinds of added tokens are tested: this many of the shortest and of the longest of each kind.
_TOKENS_PER_KIND = 4
_MAX_SPACE_RUN = 3 * _BLOCK


def added_token_texts(tokens: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield texts that hold the tokenizer's added tokens at every offset from a block boundary.

    Args:
        tokens: The `added_tokens` of a tokenizer.json.
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
        for content in {*by_length[:_TOKENS_PER_KIND], *by_length[-_TOKENS_PER_KIND:]}:
            for offset in range(_BLOCK + 1):
                start = "x" * offset
                yield f"{start}{content}return {content}"
                yield f"{start} {content} {content.upper()}{content}\t."
    if longest_run:
        for count in range(2, min(2 * longest_run + 2, _MAX_SPACE_RUN) + 1):
            for offset in range(_BLOCK + 1):
                yield f"{'x' * offset}{' ' * count}return"


def hard_texts() -> list[str]:
    """Return the corpus of hard texts; it is the same in every process."""
    words = [word for line in _WORDS for word in line.split()]
    draw = random.Random(20)  # noqa: S311 - no secret
    texts = list(_STANDALONE)
    for _ in range(_GENERATED_TEXTS):
        pieces = []
        for _ in range(draw.randint(1, _MAX_WORDS)):
            pieces.append(draw.choice(words))
            pieces.append(" " if draw.random() < 0.5 else draw.choice(_JOINERS))
        texts.append("".join(pieces[: draw.randint(1, len(pieces))]))
    return texts


# Code points compared in one text. Where the ids differ, the group is split and compared again.
_GROUP_SIZE = 64
_SPLIT_FACTOR = 8
# Texts passed to the library in one call.
_TEXTS_PER_CALL = 64
# With more differing code points than this, the cause is not a mere difference in Unicode versions.
_MAX_DIFFERING = 5000
# Unicode planes with assigned characters; the other planes are unassigned or for private use.
_PLANES = (0, 1, 2, 3, 14)


@dataclass(frozen=True)
class Unsupported:
    """Why the core cannot be used for a tokenizer."""

    reason: str
    unexpected: bool = False
    """The core supports this kind of tokenizer, but its ids differ from the library's."""

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason


def verified_encoder(tokenizer: Tokenizer) -> _core.Encoder | Unsupported:
    """Return the core's verified encoder for `tokenizer`, or the reason why there is none."""
    text = _effective_json(tokenizer)
    cached = _cache_file(text)
    fallback_ranges = _read(cached)
    if fallback_ranges is not None:
        return _build_core(text, fallback_ranges)
    unknown = unknown_code_points()
    core = _build_core(text, unknown)
    if isinstance(core, Unsupported):
        return core
    try:
        differing = differing_code_points(tokenizer, core)
    except InputError as error:
        return Unsupported(str(error))
    if len(differing) > _MAX_DIFFERING:
        reason = f"{len(differing):,} code points are encoded differently"
        return Unsupported(reason, unexpected=True)
    fallback_ranges = [*unknown, *((point, point + 1) for point in differing)]
    if differing:
        core = _build_core(text, fallback_ranges)
        if isinstance(core, Unsupported):
            return core
    texts = [*hard_texts(), *added_token_texts(json.loads(text).get("added_tokens") or [])]
    mismatch = next(iter(differing_texts(tokenizer, core, texts)), None)
    if mismatch is not None:
        return Unsupported(f"the text {mismatch!r} is encoded differently", unexpected=True)
    _write(cached, {"differing": differing, "fallback_ranges": fallback_ranges})
    return core


def _effective_json(tokenizer: Tokenizer) -> str:
    """Return tokenizer.json, without special tokens if they are encoded as ordinary text."""
    text = tokenizer.to_str()
    if not getattr(tokenizer, "encode_special_tokens", False):
        return text
    content = json.loads(text)
    tokens = content.get("added_tokens") or []
    kept = [token for token in tokens if not token.get("special")]
    return json.dumps({**content, "added_tokens": kept})


def _build_core(text: str, fallback_ranges: list[tuple[int, int]]) -> _core.Encoder | Unsupported:
    """Build the core's encoder for a tokenizer.json.

    Args:
        text: The tokenizer.json.
        fallback_ranges: Code points to leave to the library, as ranges (first, one past the last).
    """
    try:
        return _core.Encoder(text, fallback_ranges)
    except ValueError as error:
        return Unsupported(str(error))


@cache
def unknown_code_points() -> list[tuple[int, int]]:
    """Return ranges (first, one past the last) of unassigned and private-use code points."""
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
    """Return all code points assigned in Python's Unicode tables, without surrogates."""
    points = range(0x110000)
    unknown = {point for first, end in unknown_code_points() for point in range(first, end)}
    return [point for point in points if point not in unknown and not 0xD800 <= point < 0xE000]


def differing_code_points(tokenizer: Tokenizer, core: _core.Encoder) -> list[int]:
    """Return the code points for which `core` and `tokenizer` give different ids."""
    known = known_code_points()
    groups = [known[start : start + _GROUP_SIZE] for start in range(0, len(known), _GROUP_SIZE)]
    differing: list[int] = []
    while groups:
        equal, pending = _compare(tokenizer, core, [_in_contexts(group) for group in groups])
        split = []
        for group, same, left_to_library in zip(groups, equal, pending, strict=True):
            if len(group) == 1:
                differing += [] if same else group
            elif left_to_library or not same:  # one pending code point hides the others of a group
                size = -(-len(group) // _SPLIT_FACTOR)
                split += [group[at : at + size] for at in range(0, len(group), size)]
        groups = split
    return differing


def differing_texts(
    tokenizer: Tokenizer, core: _core.Encoder, texts: Sequence[str]
) -> Iterable[str]:
    """Yield the texts for which `core` and `tokenizer` give different ids."""
    equal, _ = _compare(tokenizer, core, texts)
    return (text for text, same in zip(texts, equal, strict=True) if not same)


def _in_contexts(points: Sequence[int]) -> str:
    """Return a text with each character in every context that can change how it is encoded."""
    templates = ((p, _SHORT_TEMPLATE if _is_uniform(p) else _LONG_TEMPLATE) for p in points)
    return " ".join(template.format(chr(p)) for p, template in templates)


# Alone, inside a word, before a contraction; the long template adds punctuation, repetition, the
# order of combining marks, and marks beside letters that normalization folds.
_SHORT_TEMPLATE = "{0} a{0}b {0}'s"
_LONG_TEMPLATE = (
    _SHORT_TEMPLATE
    + " a?{0}b {0}{0} a{0}\u0301 a{0}\u0323\u0301 a\u0301{0}\u0323e \u00aa{0}x {0}\u00aa"
)


def _is_uniform(point: int) -> bool:
    """Whether a character is one of the many ideographs and syllables that are encoded alike."""
    # Compatibility ideographs, which normalizers replace, have a decomposition, and so do Hangul
    # syllables, by rule.
    if 0xAC00 <= point < 0xD7A4:
        return True
    letter = chr(point)
    many = 0x3400 <= point < 0xA000 or point >= 0x12000
    return many and unicodedata.category(letter) == "Lo" and not unicodedata.decomposition(letter)


def _compare(
    tokenizer: Tokenizer, core: _core.Encoder, texts: Sequence[str]
) -> tuple[list[bool], list[bool]]:
    """For each text: whether both give the same ids; whether the core left parts to the library."""
    encoded = core.encode(
        pa.array(texts, pa.large_string()), before=[], after=[], narrow=False, threads=None
    )
    pending = np.zeros(len(texts), bool)
    pending[encoded.pending_rows()] = True
    lengths, answers = _encode_with_library(tokenizer, encoded.pending())
    offsets, ids = encoded.finish(answers, lengths.astype(np.uintp))
    ours = np.split(ids, offsets[1:-1])
    lengths, ids = _encode_with_library(tokenizer, texts)
    theirs = np.split(ids, np.cumsum(lengths)[:-1])
    equal = [np.array_equal(mine, other) for mine, other in zip(ours, theirs, strict=True)]
    return equal, pending.tolist()


def _encode_with_library(
    tokenizer: Tokenizer, texts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    pieces = (texts[at : at + _TEXTS_PER_CALL] for at in range(0, len(texts), _TEXTS_PER_CALL))
    return encode_pieces(tokenizer, pieces, dtype=np.dtype(np.uint32))


def _cache_file(text: str) -> Path:
    stamp = Path(_core.__file__).stat() if _core.__file__ else None
    parts = (
        text,
        importlib.metadata.version("tokenizers"),
        unicodedata.unidata_version,
        sys.version,
        _core.__version__,
        _core.simd(),  # other instructions run other code, which is verified separately
        str(stamp and (stamp.st_size, stamp.st_mtime_ns)),
    )
    name = digest(["\0".join(parts).encode()])
    return cache_dir("tokenizers") / f"{name}.json"


def _read(file: Path) -> list[tuple[int, int]] | None:
    """Return the cached ranges of code points that fall back; None if there is no valid cache."""
    try:
        outcome = json.loads(file.read_bytes())
        if outcome["checksum"] != checksum_of(outcome):
            return None
        return [(first, end) for first, end in outcome["fallback_ranges"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path, outcome: dict[str, Any]) -> None:
    """Keep the outcome; a cache that cannot be written costs a second the next time."""
    content = {**outcome, "checksum": checksum_of(outcome)}
    with suppress(OSError):
        write_atomic(file, json.dumps(content).encode())
