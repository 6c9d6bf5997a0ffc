"""Every family of tokenizers, with random vocabularies: texts with kept tokens keep them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.vocabulary.families.bpe import Bpe
from mlmfast.vocabulary.families.open import read_content
from mlmfast.vocabulary.trimmed_tokenizer import trim_tokenizer
from sentencepiece_bpe import LETTERS, PIPELINES, UNKNOWN, spm_bpe
from trimming import assert_same_tokens, sample_of, save_tokenizer, trimmed
from unigram_tokenizers import tokenizer as unigram_tokenizer
from unigram_tokenizers import vocabulary as unigram_vocabulary

ROLES = {"unk_token": "<unk>", "mask_token": "<mask>"}
SPM_TEXTS = st.lists(
    st.text(st.sampled_from([" ", *LETTERS[1:], "x", "\u2603"]), max_size=30), max_size=8
)


@pytest.mark.hypothesis
@settings(max_examples=40)
@given(
    pipeline=st.sampled_from(sorted(PIPELINES)),
    unknown=st.sampled_from(sorted(UNKNOWN)),
    seed=st.integers(0, 5),
    ignore_merges=st.booleans(),
    texts=SPM_TEXTS,
    others=SPM_TEXTS,
)
def test_bpe_over_characters(
    pipeline, unknown, seed, ignore_merges, texts, others, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("bpe")
    made = spm_bpe(pipeline, unknown, seed, ignore_merges)
    loaded = load_tokenizer(save_tokenizer(made, folder / "old", **ROLES))
    texts = [*texts, "the bee"]
    result = trimmed(loaded, texts, folder / "new")
    assert assert_same_tokens(loaded, result, texts) == len(texts)
    assert_same_tokens(loaded, result, others)
    fewer = trimmed(
        loaded, texts, folder / "fewer", keep=(result.required + len(result.new_ids)) // 2
    )
    assert_same_tokens(loaded, fewer, [*texts, *others])


PIECES = [piece for piece, _ in unigram_vocabulary() if not piece.startswith("<0x")]
UNIGRAM_TEXTS = st.lists(
    st.lists(st.sampled_from([*PIECES[1:], " ", "\u2603", "q"]), max_size=8).map("".join),
    max_size=8,
)


@pytest.mark.hypothesis
@settings(max_examples=40)
@given(byte_fallback=st.booleans(), texts=UNIGRAM_TEXTS, others=UNIGRAM_TEXTS)
def test_unigram(byte_fallback, texts, others, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unigram")
    made = unigram_tokenizer(normalizers.NFKC(), byte_fallback=byte_fallback)
    made.add_special_tokens(["<mask>"])
    loaded = load_tokenizer(save_tokenizer(made, folder / "old", **ROLES))
    texts = [*texts, "there"]
    result = trimmed(loaded, texts, folder / "new")
    assert assert_same_tokens(loaded, result, texts) == len(texts)
    assert_same_tokens(loaded, result, others)


def test_unknown_characters_cost_as_much_as_before(tmp_path):
    """An unknown x costs ten more than the least score, that of a piece no text has.

    Without that piece, an unknown x and `abc` would be cheaper than `xa` and `bc`.
    """
    pieces = [("<unk>", 0.0), ("xa", -14.0), ("bc", -14.0), ("abc", -1.0), ("rare", -30.0)]
    made = Tokenizer(models.Unigram([*pieces, ("<mask>", 0.0)], 0, False))
    loaded = load_tokenizer(save_tokenizer(made, tmp_path / "old", **ROLES))
    texts = ["xabc", "abc"]
    assert loaded.tokenizer.encode("xabc").tokens == ["xa", "bc"]
    result = trimmed(loaded, texts, tmp_path / "new")
    assert assert_same_tokens(loaded, result, texts) == 2


def test_scores_keep_their_digits(tmp_path):
    made = unigram_tokenizer(None)
    made.add_special_tokens(["<mask>"])
    folder = save_tokenizer(made, tmp_path / "old", **ROLES)
    file = folder / "tokenizer.json"
    odd = "-7.12345678901234567890"
    content = json.loads(file.read_text("utf-8"))
    number = next(
        n for n, (piece, _) in enumerate(content["model"]["vocab"]) if piece == "\u2581there"
    )
    content["model"]["vocab"][number][1] = "ODD"
    file.write_text(json.dumps(content).replace('"ODD"', odd), encoding="utf-8")
    trimmed(load_tokenizer(folder), ["there"], tmp_path / "new")
    assert odd in (tmp_path / "new" / "tokenizer.json").read_text("utf-8")


def wordpiece(folder):
    pieces = ["[UNK]", "[MASK]", "a", "b", "ab", "abc", "##b", "##bx", "##c", "##x", "x"]
    made = Tokenizer(
        models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(["[UNK]", "[MASK]"])
    return load_tokenizer(save_tokenizer(made, folder, unk_token="[UNK]", mask_token="[MASK]"))


def test_an_unknown_word_stays_unknown(tmp_path):
    """`abx` is unknown since `ab` matches first; without `ab` it would be `a` and `##bx`."""
    loaded = wordpiece(tmp_path / "old")
    loaded.tokenizer.get_vocab()
    texts = ["abz", "a bx"]
    result = trimmed(loaded, ["abz abz a", "abcc"], tmp_path / "new")
    assert "ab" in result.loaded.tokenizer.get_vocab()
    assert_same_tokens(loaded, result, texts)


@pytest.mark.hypothesis
@settings(max_examples=60)
@given(texts=st.lists(st.text("abcxz ", max_size=12), max_size=6))
def test_wordpiece(texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wordpiece")
    loaded = wordpiece(folder / "old")
    texts = [*texts, "a"]
    result = trimmed(loaded, texts, folder / "new")
    assert assert_same_tokens(loaded, result, texts) == len(texts)


def test_words_and_characters(tmp_path):
    words = {"<unk>": 0, "<mask>": 1, "red": 2, "green": 3, "blue": 4}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    loaded = load_tokenizer(save_tokenizer(made, tmp_path / "old", **ROLES))
    # Neither of the two is an added token: the roles alone keep them.
    result = trimmed(loaded, ["blue red pink"], tmp_path / "new")
    assert result.loaded.tokenizer.get_vocab() == {"<unk>": 0, "<mask>": 1, "red": 2, "blue": 3}


def test_the_parts_of_a_token_are_those_of_its_merges(tmp_path):
    merges = [("t", "h"), ("h", "e"), ("th", "e"), ("t", "he")]
    vocab = {token: at for at, token in enumerate(["<unk>", "<mask>", *"the", "th", "he", "the"])}
    made = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>"))
    loaded = load_tokenizer(save_tokenizer(made, tmp_path / "old", **ROLES))
    family = Bpe(read_content(loaded), vocab)
    # `he` is on another way to the same token, which the ranks never take.
    assert family.parts(vocab["the"]) == {vocab[token] for token in ("t", "h", "e", "th")}
    result = trimmed(loaded, ["the"], tmp_path / "new")
    assert "he" not in result.loaded.tokenizer.get_vocab()
    assert result.loaded.tokenizer.encode("the").tokens == ["the"]
    model = json.loads((tmp_path / "new" / "tokenizer.json").read_text())["model"]
    assert model["merges"] == [["t", "h"], ["th", "e"]]


def test_a_token_that_must_stay_can_still_arise(tmp_path):
    merges = [("t", "h"), ("th", "e")]
    vocab = {token: at for at, token in enumerate(["<unk>", "<mask>", *"thea", "th", "the"])}
    made = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>"))
    loaded = load_tokenizer(save_tokenizer(made, tmp_path / "old", **ROLES))
    folder = tmp_path / "new"
    folder.mkdir()
    sample = sample_of(["aa the", "a", "a"], folder / "sample")
    # As a configuration may name it; it is too rare to stay by itself.
    named = {"named by the configuration": {vocab["the"]}}
    result = trim_tokenizer(loaded, sample, folder, also=named, min_count=2)
    assert result.loaded.tokenizer.encode("the").tokens == ["the"]


def test_merges_with_marks_of_words(tmp_path):
    """GPT-1's `</w>` and a prefix as in WordPiece."""
    vocab = ["<unk>", "<mask>", "l", "o", "w", "w</w>", "ow</w>", "low</w>", "lo", "o</w>"]
    merges = [("o", "w</w>"), ("l", "ow</w>"), ("l", "o")]
    ids = {token: at for at, token in enumerate(vocab)}
    made = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", end_of_word_suffix="</w>"))
    loaded = load_tokenizer(save_tokenizer(made, tmp_path / "old", **ROLES))
    result = trimmed(loaded, ["low"], tmp_path / "new")
    assert assert_same_tokens(loaded, result, ["low"]) == 1
    assert "lo" not in result.loaded.tokenizer.get_vocab()
    prefixed = ["<unk>", "<mask>", "l", "##o", "##w", "lo", "low", "##ow"]
    ids = {token: at for at, token in enumerate(prefixed)}
    merges = [("l", "##o"), ("lo", "##w"), ("##o", "##w")]
    made = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", continuing_subword_prefix="##"))
    loaded = load_tokenizer(save_tokenizer(made, tmp_path / "prefixed", **ROLES))
    result = trimmed(loaded, ["low"], tmp_path / "fewer")
    assert assert_same_tokens(loaded, result, ["low"]) == 1
    assert "##ow" not in result.loaded.tokenizer.get_vocab()
