# ruff: noqa: RUF001 - letters that look alike are what is tested
from __future__ import annotations

import gzip
import itertools
import zipfile
from functools import cache

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from encoding import assert_equal_ids, encoded
from mlmfast import _core
from places import SHARED, shared
from published import published_tokenizer

OPTIONS = list(itertools.product([True, False], [True, False], [None, True, False], [True, False]))
ALPHABET = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'-<>[]"
    "éèüñßÉİıǅςΣάἈ吾輩猫豈ではカがガ。、「」한국어각ไทยदिहशम्العربيةשלום≮≯“”’…—·;™①ﬁ🙂🤣👩👍🏽"
)
CONTROLS = "\0\x0b\x0c\x1c\x7f\x85\xa0\xad\u200b\u200d\u2028\u3000\ufeff\ufffd\ue000\ufe0f"
MARKS = "\u0301\u0323\u0338\u0345\u0600\u0f39\u1100\u1161\u11a8\u3099\u302e\u20dd\u0e33\U0001d165"
WORDS = [
    "",
    "The quick brown Fox, don't! jumps 3.14 times; re-read [this] <b>",
    "\tone\r\n two" + " " * 40 + "three\n\n",
    "a\x0bb a\x0cb a\0b a\x1cb a\x7fb \ufeffa a\u200bb a\xadb",
    "x" * 13 + " " + "x" * 14 + " " + "x" * 15 + " " + "x" * 16 + " " + "x" * 17,
    "y" * 99 + " " + "y" * 100 + " " + "y" * 101 + " " + "é" * 100 + " " + "é" * 101,
    "吾輩は猫である。名前はまだ無い。豈更車 東京Tower",
    "한국어 각 \u1100\u1161\u11a8 ไทยภาษา tiếng Việt हिन्दी العربية ελληνικάς Ἀθῆναι",
    "👩‍👩‍👧 👍🏽 ❤️ 🙂🤣 a🙂b 🏳️‍🌈 ™ ① ﬁ",
    "a≮b a≯ ≮ <\u0338 .\u0301 中\u0301 “quoted” it’s – — … a·b a;b `x´",
    "İstanbul DIYARBAKIR ı Straße ẞ ΣΑΣ ǅ é e\u0301 e\u0323\u0301 e\u0301\u0323 q\u0302\u0338",
    "\u0301x \u0600 1\u0600 2 \U0001d157\U0001d165\U0001d16e \u1b13\u1b44\u0301",
    "é" * 31 + "a" * 33 + " b" * 70 + "é" + "." * 130 + "c" * 64,
]


@cache
def tiny(options: tuple[bool, bool, bool | None, bool]) -> Tokenizer:
    letters = sorted({*ALPHABET, *CONTROLS, *MARKS, *ALPHABET.lower()})
    pieces = ["the", "Quick", "quick", "##ick", "one", "##ne", "an", "##an", "est", "##est"]
    pieces += ["xx", "##xxx", "x" * 17, "##e\u0301", "한국", "##국", "はま", "##ある", "don"]
    vocab = [
        "[UNK]",
        *letters,
        *(f"##{letter}" for letter in letters if letter not in "ZQ吾"),
        *pieces,
    ]
    tokenizer = Tokenizer(
        models.WordPiece({token: number for number, token in enumerate(vocab)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(*options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[UNK]", "[MASK]"])
    return tokenizer


@pytest.mark.parametrize("options", OPTIONS)
def test_ids_are_the_librarys_with_every_option(options):
    assert_equal_ids(tiny(options), WORDS)
    assert_equal_ids(tiny(options), [" ".join(WORDS), *WORDS, "a [MASK] b", "[UNK][MASK"])


@pytest.mark.parametrize("options", OPTIONS)
def test_every_character_in_the_middle_of_a_word(options):
    texts = [
        f"an{a}{b}est{a} {b}" for a in CONTROLS + MARKS + "≮é中한" for b in MARKS + "A.。\x0b豈"
    ]
    assert_equal_ids(tiny(options), texts)


def test_usual_text_leaves_nothing_to_the_library():
    usual = [text for text in WORDS if "\U0001d165" not in text]
    for options in OPTIONS:
        assert_equal_ids(tiny(options), usual, nothing_pending=True)


@pytest.mark.hypothesis
@given(
    st.lists(
        st.one_of(
            st.text(ALPHABET, max_size=20),
            st.text(ALPHABET + CONTROLS + MARKS + " \n", max_size=20),
            st.text(" \t\r\n", max_size=40),
            st.text("abcxyz", max_size=120),
            st.sampled_from([*WORDS, "[MASK]", "[mask]", "[UNK]"]),
        ),
        max_size=8,
    ),
    st.sampled_from(OPTIONS),
)
def test_ids_are_the_librarys_for_any_mixture(parts, options):
    assert_equal_ids(tiny(options), ["".join(parts)])


def test_a_text_without_spaces_takes_no_longer_than_another():
    texts = [
        "x" * 1_000_000,
        "é" * 300_000,
        "\u0301\u0323" * 100_000,
        "吾" * 100_000,
        "." * 300_000,
    ]
    assert_equal_ids(tiny((True, True, None, True)), texts)


@pytest.mark.parametrize("lowercase", [True, False])
def test_added_tokens_are_seen_in_normalized_text(lowercase):
    tokenizer = Tokenizer.from_str(tiny((True, True, None, lowercase)).to_str())
    tokenizer.add_tokens([AddedToken("Café"), AddedToken("<Tag>", single_word=True)])
    texts = ["a CAFÉ b", "café Cafe CAFÉ", "ca\0fé", "x<tag>y <TAG> <Tag>", "Ca\xadfé", "a cafe"]
    assert_equal_ids(tokenizer, [*texts, *WORDS])


def test_exceptions_are_left_to_the_library():
    tokenizer = tiny((True, True, None, True))
    found, pending = encoded(tokenizer, ["an 猫 one", "quick"], exceptions=(ord("猫"),))
    assert pending == ["an 猫 one"]
    assert found == [tokenizer.encode(text).ids for text in ("an 猫 one", "quick")]


def changed(**parts) -> str:
    tokenizer = Tokenizer.from_str(tiny((True, True, None, True)).to_str())
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer.to_str()


def test_other_pipelines_are_refused():
    assert _core.Encoder(changed(), []).family == "WordPiece"
    for parts in (
        {"normalizer": normalizers.Lowercase()},
        {"normalizer": normalizers.Sequence([])},
        {"pre_tokenizer": pre_tokenizers.Whitespace()},
    ):
        with pytest.raises(ValueError, match="not one that is encoded here"):
            _core.Encoder(changed(**parts), [])
    with pytest.raises(ValueError, match=r"U\+0041"):
        _core.Encoder(changed(), [(ord("A"), ord("A") + 1)])


def test_a_word_without_an_unknown_token_is_the_librarys():
    tokenizer = Tokenizer(models.WordPiece({"an": 0}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = pa.array(["an", "an x"])
    encoder = _core.Encoder(tokenizer.to_str(), [])
    found = encoder.encode(texts, before=[], after=[], narrow=True, threads=1)
    assert found.pending() == ["an x"]


def test_hard_texts_with_a_real_vocabulary():
    tokenizer = published_tokenizer("bert-base-uncased")
    texts = [*WORDS, " ".join(WORDS), "a [MASK] b [SEP]", "[UNK][MASK", "[CLS]\u0301x"]
    assert_equal_ids(tokenizer, texts)
    usual = [text for text in WORDS if "\U0001d165" not in text]
    assert_equal_ids(tokenizer, usual, nothing_pending=True)


@pytest.mark.parametrize("name", ["uncased", "cased", "multilingual-cased"])
def test_natural_text_with_real_vocabularies(name):
    file = shared("tokenizers", f"bert-base-{name}", "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = SHARED / "text"
    with gzip.open(text / "books" / "books_en_48m.txt.gz", "rt", newline="") as books:
        texts = [books.read(150_000)]
    texts += (text / "multilingual" / "wagahai.ja.txt").read_text().split("\n")[:200]
    texts += (text / "wikitext-2" / "valid.tokens.txt").read_text().split("\n")[:400]
    with zipfile.ZipFile(text / "multilingual" / "udhr2.zip") as languages:
        names = sorted(name for name in languages.namelist() if name.endswith(".txt"))[::8]
        texts += [languages.read(name).decode()[:2000] for name in names]
    assert_equal_ids(tokenizer, texts, nothing_pending=True)
    assert_equal_ids(tokenizer, (text / "dirty" / "blns.txt").read_text().split("\n"))
