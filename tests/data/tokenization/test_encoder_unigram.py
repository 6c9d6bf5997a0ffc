"""Unigram in the core: the library's ids, whatever the text."""

from __future__ import annotations

import random
import zipfile

import pytest
from hypothesis import given
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers

from encoding import assert_equal_ids, encoded
from mlmfast import _core
from places import SHARED, SHARED_MISSING
from published import published_tokenizer
from unigram_tokenizers import RULES, SPACE, TEXT, TEXTS, charsmap, several, tokenizer, xlnet

N = normalizers
PIPELINES = {
    "bare": lambda: tokenizer(None),
    "never": lambda: tokenizer(None, prepend_scheme="never"),
    "whole": lambda: tokenizer(N.NFC(), at_space=False),
    "charsmap": lambda: tokenizer(N.Precompiled(charsmap(RULES))),
    "bytes": lambda: tokenizer(N.Precompiled(charsmap(RULES)), byte_fallback=True),
    "xlnet": lambda: tokenizer(several(*xlnet())),
    "nfd": lambda: tokenizer(several(N.NFD(), N.StripAccents(), N.Lowercase())),
    "late": lambda: tokenizer(several(N.Precompiled(charsmap(RULES)), N.NFC(), N.Lowercase())),
    "trained": lambda: tokenizer(
        several(N.NFKC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()), split=False
    ),
    "sentencepiece": lambda: tokenizer(
        several(N.Nmt(), N.NFKC(), N.Replace(Regex(" {2,}"), " ")), split=False
    ),
    "albert": lambda: tokenizer(several(*xlnet(), N.Replace(Regex(" {2,}"), SPACE)), split=False),
    "first": lambda: tokenizer(
        several(N.Precompiled(charsmap(RULES)), N.NFKC(), N.Replace(Regex(r"\s+"), " ")),
        split=False,
        prepend_scheme="first",
    ),
    "spaced": lambda: tokenizer(N.Precompiled(charsmap(RULES)), split=False),
}


class Made(dict):
    """The tokenizers by name; short in pytest's reports."""

    def __repr__(self) -> str:
        return "Made()"


@pytest.fixture(scope="module")
def made() -> Made:
    return Made({name: make() for name, make in PIPELINES.items()})


@pytest.mark.parametrize("name", PIPELINES)
def test_adversarial_texts(name, made):
    assert_equal_ids(made[name], [*TEXTS, "\n\n".join(TEXTS)])


@pytest.mark.parametrize("name", PIPELINES)
@given(text=TEXT)
def test_any_text(name, made, text):
    _assert_equal(made, name, text)


def _assert_equal(made, name, text):
    ids, _ = encoded(made[name], [text])
    assert ids == [made[name].encode(text, add_special_tokens=False).ids], (name, text)


@pytest.mark.parametrize("name", PIPELINES)
def test_ordinary_text_is_never_left_to_the_library(name, made):
    assert_equal_ids(made[name], TEXTS[:8] + TEXTS[15:17] + TEXTS[19:24], nothing_pending=True)


def test_random_vocabularies_and_scores():
    random_ = random.Random(3)
    for _ in range(40):
        pieces = {"<unk>": 0.0}
        for _ in range(random_.randrange(1, 60)):
            piece = "".join(random_.choices(SPACE + "abcd", k=random_.randrange(1, 7)))
            pieces[piece] = random_.choice([-1.0, -2.0, -3.0, -2.0 / 3, random_.uniform(-9, 0)])
        made = Tokenizer(models.Unigram(list(pieces.items()), 0, False))
        made.pre_tokenizer = tokenizer(None).pre_tokenizer
        words = ("".join(random_.choices("abcde", k=random_.randrange(1, 30))) for _ in range(200))
        assert_equal_ids(made, [" ".join(words)], nothing_pending=True)


def test_scores_above_zero_and_pieces_named_twice():
    vocab = [("<unk>", 0.0), ("a", 5.0), ("ab", 7.0), ("b", 1.5), ("ab", 3.0), (SPACE, 0.5)]
    made = Tokenizer(models.Unigram(vocab, 0, False))
    made.pre_tokenizer = tokenizer(None).pre_tokenizer
    assert_equal_ids(made, ["ab aab abab bba ccab c ca"], nothing_pending=True)


def test_exceptions_are_the_librarys_and_added_tokens_are_not():
    made = tokenizer(None)
    made.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    texts = ["the <mask> house", "the  <mask>", "<mask>", "the house"]
    assert_equal_ids(made, texts, nothing_pending=True)
    texts = ["the house", "the \u00e9", "a\tb"]
    assert encoded(made, texts, exceptions=(0xE9, 9))[1] == texts[1:]


@pytest.mark.parametrize(
    "make",
    [
        lambda: tokenizer(N.Replace(Regex("a+"), "b")),
        lambda: tokenizer(N.Replace(" ", "b")),
        lambda: tokenizer(several(N.Replace("''", ""), N.NFC())),
        lambda: tokenizer(N.Precompiled(charsmap({" ": "x"}))),
        lambda: tokenizer(several(N.Strip(), N.Strip())),
        lambda: tokenizer(several(N.NFC(), N.Prepend(SPACE)), split=False),
        lambda: tokenizer(N.Strip(), split=False, prepend_scheme="never"),
        lambda: tokenizer(None, prepend_scheme="first"),
        lambda: tokenizer(several(*xlnet()), split=False, prepend_scheme="first"),
    ],
)
def test_other_pipelines_are_refused(make):
    with pytest.raises(ValueError, match="is not one that is encoded here"):
        _core.Encoder(make().to_str(), [])


def test_tokens_of_normalized_text_are_the_librarys():
    made = tokenizer(N.NFKC())
    made.add_tokens([AddedToken("house", normalized=True)])
    texts = ["the \uff48ouse", "the house", "the ho use", "the whouses"]
    assert_equal_ids(made, texts)
    assert encoded(made, texts)[1] == [texts[0], texts[1], texts[3]]


def test_adversarial_texts_with_a_real_vocabulary():
    made = published_tokenizer("t5-small")
    assert_equal_ids(made, [*TEXTS, "\n\n".join(TEXTS), "the <extra_id_0> house</s>"])
    assert_equal_ids(made, TEXTS[:8] + TEXTS[15:17] + TEXTS[19:24], nothing_pending=True)


@pytest.mark.skipif(not SHARED.exists(), reason=SHARED_MISSING)
@pytest.mark.parametrize("name", ["xlm-roberta-base", "t5-small", "xlnet-base-cased"])
def test_real_tokenizers(name):
    made = Tokenizer.from_file(str(SHARED / "tokenizers" / name / "tokenizer.json"))
    texts = list(TEXTS)
    with zipfile.ZipFile(SHARED / "text" / "multilingual" / "udhr2.zip") as files:
        names = [name for name in files.namelist() if name.endswith(".txt")]
        texts += [files.read(name).decode()[:1500] for name in names[::6]]
    japanese = (SHARED / "text" / "multilingual" / "wagahai.ja.txt").read_text(encoding="utf-8")
    texts += [japanese[:20_000], (SHARED / "text" / "dirty" / "blns.txt").read_text("utf-8")]
    assert_equal_ids(made, texts)
    assert_equal_ids(made, texts[-2:-1], nothing_pending=True)
