"""The rows that new tokens begin with: same token, same role, or the mean of old pieces."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.vocabulary.rows.initial import initial_rows
from mlmfast.vocabulary.rows.pieces import OldPieces
from mlmfast.vocabulary.rows.spelling import Spelling
from published import PUBLISHED, published_folder
from sentencepiece_bpe import PIPELINES, spm_bpe
from trimming import copied_tokenizer, save_tokenizer


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    return {
        name: load_tokenizer(copied_tokenizer(published_folder(name), root / name))
        for name in PUBLISHED
    }


def tokens_of(one, ids):
    return [one.tokenizer.id_to_token(number) for number in ids]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("roberta-base", " spectrogram", ["\u0120spect", "rogram"]),
        ("roberta-base", "spectrogram", ["spect", "rogram"]),
        ("bert-base-uncased", " spectrogram", ["spec", "##tro", "##gram"]),
        ("bert-base-uncased", "spectrogram", ["##sp", "##ect", "##ro", "##gram"]),
        ("bert-base-uncased", " Paris", ["paris"]),
        ("bert-base-uncased", "),", [")", ","]),
        ("t5-small", " spectrogram", ["\u2581", "spect", "r", "ogram"]),
        ("t5-small", "gramword", ["gram", "word"]),
        ("bert-base-uncased", " \u2603\ufe0f", []),
    ],
)
def test_the_pieces_of_a_text_begin_a_word_if_it_does(loaded, name, text, expected):
    old = loaded[name]
    assert tokens_of(old, OldPieces(old).of(Spelling(text.encode()))) == expected


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_tokenizer_shares_every_token_with_itself(loaded, name):
    old = loaded[name]
    rows = initial_rows(old, old)
    found = {**rows.shared, **rows.roles}
    tokens = old.tokenizer.get_vocab()
    differing = [token for token, number in tokens.items() if found.get(number) != number]
    assert not differing
    assert not rows.means
    assert not rows.unknown


@pytest.mark.parametrize("pipeline", sorted(PIPELINES))
def test_a_sentencepiece_bpe_shares_every_token_with_itself(pipeline, tmp_path):
    roles = {"unk_token": "<unk>", "mask_token": "<mask>", "pad_token": "</s>"}
    old = load_tokenizer(save_tokenizer(spm_bpe(pipeline), tmp_path / "old", **roles))
    rows = initial_rows(old, old)
    found = {**rows.shared, **rows.roles}
    assert all(found[number] == number for number in old.tokenizer.get_vocab().values())


def test_between_families(loaded):
    old, new = loaded["roberta-base"], loaded["bert-base-uncased"]
    rows = initial_rows(old, new)
    ids = new.tokenizer.get_vocab()

    def source(token):
        number = ids[token]
        known = {**rows.shared, **rows.roles}
        if number in known:
            return tokens_of(old, [known[number]])
        return tokens_of(old, rows.means[number])

    assert source("house") == ["\u0120house"]
    assert source("##ing") == ["ing"]
    assert source(",") == [","]
    assert source("[MASK]") == ["<mask>"]
    assert source("[CLS]") == ["<s>"]
    assert source("[SEP]") == ["</s>"]
    assert source("[PAD]") == ["<pad>"]
    assert source("[UNK]") == ["<unk>"]
    tokens = {number: token for token, number in ids.items()}
    inside = [number for number in rows.means if tokens[number].startswith("##")]
    assert inside
    for number in inside:
        assert sum(rows.means[number].values()) == pytest.approx(1)
        first = next(iter(rows.means[number]))
        assert not old.tokenizer.id_to_token(first).startswith("\u0120")
    assert not rows.unknown  # bytes spell everything


def test_what_the_old_tokenizer_does_not_know(loaded):
    rows = initial_rows(loaded["bert-base-uncased"], loaded["roberta-base"])
    ids = loaded["roberta-base"].tokenizer.get_vocab()
    assert ids["\u00c3"] in rows.unknown  # half of a character
    assert ids["\u0120the"] in rows.shared
    sources = rows.sources(len(ids), fallback=100)
    assert sources.copies[ids["\u00c3"]] == 100
    assert len(sources) == len(ids)


def test_whole_words_and_roles(tmp_path):
    old_words = ["<unk>", "<mask>", "<s>", "</s>", "<pad>", "red", "blue"]
    new_words = ["[PAD]", "[MASK]", "[CLS]", "[SEP]", "[UNK]", "blue", "red blue", "pink", "[NEW]"]

    def made(words, folder, **roles):
        ids = {word: number for number, word in enumerate(words)}
        tokenizer = Tokenizer(models.WordLevel(ids, unk_token=roles["unk_token"]))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.add_special_tokens([word for word in words if word[0] in "<["])
        return load_tokenizer(save_tokenizer(tokenizer, folder, **roles))

    old = made(old_words, tmp_path / "old", unk_token="<unk>", mask_token="<mask>",
               bos_token="<s>", eos_token="</s>", pad_token="<pad>")  # fmt: skip
    new = made(new_words, tmp_path / "new", unk_token="[UNK]", mask_token="[MASK]",
               cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]",
               additional_special_tokens=["[NEW]"])  # fmt: skip
    rows = initial_rows(old, new)
    # [CLS] takes the row of <s>, which has the like role.
    assert rows.roles == {0: 4, 1: 1, 2: 2, 3: 3, 4: 0}
    assert rows.shared == {5: 6}
    assert rows.means == {6: {5: 0.5, 6: 0.5}}
    assert rows.unknown == {7, 8}
