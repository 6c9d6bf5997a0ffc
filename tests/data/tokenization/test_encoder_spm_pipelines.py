"""Unigram behind the pipelines of transformers' SentencePiece converters: the library's ids."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from tokenizers import Tokenizer, models, pre_tokenizers

from encoding import assert_equal_ids, encoded
from mlmfast import _core
from places import SHARED, SHARED_MISSING
from published import published_tokenizer
from spm_pipelines import PIPELINES, SPACE, altered
from unigram_tokenizers import RULES, TEXT, TEXTS, charsmap, tokenizer

N_SENTENCES = ("llama-legacy", "llama-legacy-bare", "llama", "llama-never", "moshi")
# What may lie at the start and at the end of a document.
EDGES = (
    *("", " ", "  ", "   ", "\n", "\r\n", "\n\n", "\t", " \n", "\n ", "\u3000", "\u00a0", "\u200b"),
    *("\x0b", "\x0c", "\x01", "\0", "\u0301", " \u0301", "\u2003\u0301", "\u0600", " \u0600"),
    *(SPACE, " " + SPACE, SPACE + " ", "\u00b4", "\ufeff", "\u2028", "\x85", "\U0010fffe"),
)
CORES = (
    *("", "a", "the house", "10", "a1b2", ",", "(a) [b], c!", " . ", "é", "吾輩は猫である。"),
    *("e\u0301", "a  b", "a\nb", "a\r\n\r\nb", "a \n b", "``q''", "the house 10 " * 300),
)
ENDS = [
    edge + core + other for core in CORES for edge in EDGES for other in ("", edge, edge[::-1], " ")
]
ORDINARY = [
    "The house, the (café) there's; it's 10 o'clock...",
    "  the   house\n\n\tthere \r\n",
    "吾輩は猫である。名前はまだ無い。\n",
    "",
    " \n ",
    "हिन्दी की किताब ที่นี่ภาษาไทย 한국어",
]


class Made(dict):
    """The tokenizers by name; short in pytest's reports."""

    def __repr__(self) -> str:
        return "Made()"


@pytest.fixture(scope="module")
def made() -> Made:
    from tokenizers import normalizers

    whole = tokenizer(normalizers.Precompiled(charsmap(RULES)), byte_fallback=True)
    all_made = {name: altered(whole, name) for name in PIPELINES}
    return Made(
        all_made | {f"{name}-id": altered(whole, name, charsmap=False) for name in PIPELINES}
    )


# A charsmap makes spaces of white space; without one, a line break is a character like others.
NAMES = [*PIPELINES, *(f"{name}-id" for name in PIPELINES)]
IDENTITY = (
    "converted-id",
    "converted-never-id",
    "deberta-punctuation-id",
    "pegasus-id",
    "llama-id",
)


@pytest.mark.parametrize("name", NAMES)
def test_hard_texts(name, made):
    assert_equal_ids(made[name], [*TEXTS, "\n\n".join(TEXTS)])


@pytest.mark.parametrize("name", NAMES)
def test_starts_and_ends_of_documents(name, made):
    assert_equal_ids(made[name], ENDS[NAMES.index(name) % 3 :: 3])


@pytest.mark.parametrize("name", [*PIPELINES, *IDENTITY])
@given(text=TEXT)
@example(text="\u2003\u0301 a \u2003\u0301 b \u2003\u0301")
@example(text="\x01 \x01a \x01 b\x01 \x01")
def test_any_text_at_the_start_and_after_other_text(name, made, text):
    texts = [text, f"the house {text}", f"{'the house ' * 300}{text} a"]
    ids, _ = encoded(made[name], texts)
    assert ids == [made[name].encode(one, add_special_tokens=False).ids for one in texts]


@pytest.mark.parametrize("name", NAMES)
def test_ordinary_texts_are_never_left_to_the_library(name, made):
    assert_equal_ids(made[name], ORDINARY, nothing_pending=True)


def test_marks_of_the_core_are_characters_like_any_other(made):
    marks = ["\U0010fffe", "\U0010ffff"]
    texts = [
        f"{before}{mark}{after}" for mark in marks for before in EDGES for after in ("a", " a")
    ]
    for name in ("converted-never", "deberta-punctuation", "converted-first"):
        assert_equal_ids(made[name], texts)


def test_a_model_without_an_unknown_token_answers_as_the_library_does():
    pieces = [(SPACE, -2.0), ("a", -3.0), (SPACE + "a", -4.0)]
    bare = Tokenizer(models.Unigram(pieces, None, False))
    for name in ("converted", "deberta-punctuation", "llama"):
        assert_equal_ids(altered(bare, name), ["a", " a  a ", "aaa a"])


@pytest.mark.parametrize("name", N_SENTENCES)
def test_sums_of_scores_are_those_of_the_whole_document(name):
    # Many paths are equally good but for rounding, which depends on all text before them.
    random_ = random.Random(7)
    for round_ in range(12):
        pieces = {"<unk>": 0.0, SPACE: -1.7}
        scores = [random_.uniform(-9, 0) for _ in range(3)] if round_ % 2 else [-1 / 3, -0.7, -1.1]
        for _ in range(40):
            piece = "".join(random_.choices("abc", k=random_.randrange(1, 5)))
            pieces[random_.choice(["", SPACE, SPACE * 2]) + piece] = random_.choice(scores)
        made = altered(Tokenizer(models.Unigram(list(pieces.items()), 0, False)), name)
        words = ("".join(random_.choices("abcd ", k=random_.randrange(1, 9))) for _ in range(600))
        text = " ".join(words)
        assert_equal_ids(made, [text, text[:50], text[:500]], nothing_pending=True)


def test_words_of_a_whole_document_depend_on_each_other_where_a_piece_has_two():
    pieces = [("<unk>", 0.0), (SPACE, -2.0), ("a", -3.0), (f"a{SPACE}a", -4.0)]
    for vocab, found in ((pieces, "after a space"), ([*pieces[:1], *pieces[2:3]], "no piece for")):
        made = Tokenizer(models.Unigram(vocab, 0, False))
        made.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
        with pytest.raises(ValueError, match=found):
            _core.Encoder(made.to_str(), [])


@pytest.mark.parametrize("name", ["converted", "albert", "deberta-punctuation", "llama", "moshi"])
def test_a_published_vocabulary(name):
    made = altered(published_tokenizer("t5-small"), name)
    assert_equal_ids(made, [*TEXTS[:20], *ENDS[::29], "the <extra_id_0> house</s> "])
    assert_equal_ids(made, ORDINARY, nothing_pending=True)


@pytest.mark.skipif(not SHARED.exists(), reason=SHARED_MISSING)
@pytest.mark.parametrize("name", ["rembert", "pegasus", "llama-legacy", "punctuation-digits"])
def test_dirty_texts_with_another_published_vocabulary(name):
    whole = Tokenizer.from_file(str(SHARED / "tokenizers" / "xlnet-base-cased" / "tokenizer.json"))
    dirty = (SHARED / "text" / "dirty" / "blns.txt").read_text("utf-8")
    assert_equal_ids(altered(whole, name), [*TEXTS[:16], dirty, *dirty.split("\n")[::5]])
