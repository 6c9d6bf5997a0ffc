"""Hard texts for every tokenizer: natural language, white space, controls, marks, long runs."""

from __future__ import annotations

import random

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
