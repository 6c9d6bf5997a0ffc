"""Small Unigram tokenizers with pieces of many scripts, a charsmap, and hard texts for them."""

from __future__ import annotations

import random
import struct

from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

SPACE = "\u2581"

# What a charsmap makes of single characters and of graphemes.
RULES = {
    "\t": " ", "\n": " ", "\r": " ", "\x0c": " ", "\x01": "", "\x0b": "", "\x7f": "",
    "\u00a0": " ", "\u3000": " ", "\u2003": " ", "\u200b": " ", "\u2581": " ", "\ufeff": "",
    "\u00aa": "a", "\u00b4": " \u0301", "\u2460": "1", "\uff21": "A", "\ufb01": "fi",
    "e\u0301": "é", "\u0915\u093c": "\u0958", "\uff76\uff9e": "ガ", "\u304b\u3099": "が",
    "\u1100\u1161": "가", "\u2026": "...", "\ufdfa": "صلى الله عليه وسلم", "\u0344": "\u0308\u0301",
}  # fmt: skip


def charsmap(rules: dict[str, str]) -> bytes:
    """Make a precompiled map: each node's children in 256 units of their own, at `room << 8`."""
    nodes = {key.encode()[:end] for key in rules for end in range(len(key.encode()) + 1)}
    rooms = {node: number for number, node in enumerate(sorted(nodes), 1)}
    units, texts = [0xFF] * (256 * (len(nodes) + 1)), b""
    for node, room in rooms.items():
        label, at = (node[-1], rooms[node[:-1]] << 8 | node[-1]) if node else (0, 0)
        value = rules.get(node.decode(errors="ignore")) if node else None
        if value is not None and node.decode(errors="ignore").encode() == node:
            units[at] = label | 1 << 8 | (at ^ room << 8) << 10
            units[room << 8] = len(texts) | 1 << 31
            texts += value.encode() + b"\0"
        else:
            units[at] = label | (at ^ room << 8) << 10
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + texts


def vocabulary() -> list[tuple[str, float]]:
    """Return pieces that overlap in many ways, some of equal score, over several scripts."""
    words = "the there here he re house houses don't 'it' it's \"q\" a an and é café fi 1 10 ... ."
    words += " 吾輩 吾輩は猫 猫である は で あ る が ガ"
    words += " ग क ख़ की हिन्दी कि ำ กำ ไทย ที่ 가 각 한국 한 国 한글 Tiếng Viê"
    words += " الله عليه وسلم صلى 👩 👩‍💻 ❤️ e\u0301 \u0301 A B C x y z xy yz xyz zz \t \x0b Ünï"
    random_ = random.Random(1)
    pieces = {"<unk>": 0.0, SPACE: -2.5, SPACE * 2: -4.0}
    for word in words.split(" "):
        for piece in (word, SPACE + word, *word):
            pieces.setdefault(piece, -random_.randrange(8, 60) / 4)
    pieces |= {f"<0x{byte:02X}>": -30.0 for byte in range(256)}
    return list(pieces.items())


def tokenizer(normalizer, *, split=True, unk_id=0, byte_fallback=False, at_space=True, **metaspace):
    made = Tokenizer(models.Unigram(vocabulary(), unk_id, byte_fallback))
    if normalizer is not None:
        made.normalizer = normalizer
    last = pre_tokenizers.Metaspace(split=at_space, **metaspace)
    made.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), last]) if split else last
    )
    return made


def xlnet() -> list:
    return [
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
        normalizers.Precompiled(charsmap(RULES)),
    ]


def several(*parts) -> normalizers.Sequence:
    return normalizers.Sequence(list(parts))


TEXTS = [
    "",
    " ",
    "  \n\t ",
    "the house there's  a   café\r\n\r\nand 10 houses...",
    " the house ",
    "\nthe\n",
    "x" * 5000,
    "xyzzy " * 3000,
    "xyz" * 20000,
    "a\x0bb a \x0b b a\x0cb \x0c\x0c a\0b \0 \x7f",
    " \u0344\u093c a \ufe0f\ufe0f ",
    " \ufe0f\ufe0f ",
    "a \u0301b a\u0301 b \u0301 \u0301\u0323a",
    "\u0600 a \u0600a a\u0600 \u0600 \u0301",
    "a\u00a0b a \u00a0b\u00a0 a\u00a0\u00a0b \u3000 吾輩は\u3000猫である \u00a0\u0301 x",
    "\u3000吾輩は猫である。名前はまだ無い。\n\u3000どこで生れたか",
    f"{SPACE}a b{SPACE}c {SPACE}{SPACE}d {SPACE} e{SPACE}",
    "``the'' ''the`` `a` 'it's' don''t '''' ````` ' ' ` `",
    "①\u0301x e\u0301 e\u0301\u0302 ª\u0301 \uff21\u0301 ﬁ\u0301 ﷺ \u00b4a a\u00b4 \u00b4",
    "हिन्दी की किताब क्षत्रिय क\u094d\u200dक  \u093cक",
    "ที่นี่ภาษาไทยกำลัง ำ  ำa ที่.ที่",
    "한국어 \u1100\u1161\u11a8 가\u11a8 \u1161 \u1100 가\u1100",
    "Tiếng Việt Tie\u0302\u0301ng Vie\u0323\u0302t",
    "👩‍💻👨‍👩‍👧 ❤️ 🇩🇪🇫🇷🇯 1️⃣ \u200d 👩 \u200d💻",
    "ｶﾞ ｶ ﾞ か\u3099 か \u3099 が",
    "\ufeffthe\ufeff \ufeff house\u200b \u200bthe\u200b",
    "\u0344a \u0344 a\u0344",
    "ß İ Σ ΑΣ ǅ \u0130",
    "...…… . .. " * 50,
]
ALPHABET = (
    "aabex1.'`\"  \n\r\t\x0b\x0c\0\x01\u00a0\u3000\u200b\u200d\u2581éÉﬁ①ªΣ"
    "\u0301\u0323\u0344\u0600\u0915\u094d\u093c\u093e\u0e01\u0e33\u0e48\u1100\u1161\u11a8가각"
    "\u3099か吾猫\u00b4\ufeff👩❤\ufe0f\U0001f1e9\u20e3\U00010123\U0001d165"
)
TEXT = st.lists(
    st.one_of(
        st.text(st.sampled_from(ALPHABET), max_size=8),
        st.sampled_from(["the", " house", "xyz", SPACE, "  ", "\r\n", "吾輩は", "don't", "''"]),
    ),
    max_size=12,
).map("".join)
