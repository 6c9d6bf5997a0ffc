"""Texts that tokenizers disagree about, made of the pieces that have broken one before."""

# ruff: noqa: RUF001 - ambiguous characters are what it is about
from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
