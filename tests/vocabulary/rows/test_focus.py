"""Rows of similar tokens: sparsemax, vectors from texts, and what they choose."""

from __future__ import annotations

import random

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.vocabulary.rows.cooccurrence import token_vectors
from mlmfast.vocabulary.rows.focus import by_similarity, sparsemax
from mlmfast.vocabulary.rows.initial import initial_rows
from trimming import sample_of, save_tokenizer

ANIMALS = ["cat", "dog", "cow"]
METALS = ["iron", "gold", "zinc"]
ABOUT = {"animal": ["eats", "sleeps", "runs", "hides"], "metal": ["melts", "shines", "bends"]}


def texts(count=400):
    draw = random.Random(0)
    made = []
    for _ in range(count):
        for kind, names in (("animal", [*ANIMALS, "newbeast"]), ("metal", [*METALS, "newmetal"])):
            words = [draw.choice(names), draw.choice(ABOUT[kind]), draw.choice(ABOUT[kind])]
            made.append(" ".join(words))
    return made


def tokenizer_of(words, folder):
    words = ["<unk>", "<mask>", "<pad>", *words]
    ids = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(words[:3])
    roles = {"unk_token": "<unk>", "mask_token": "<mask>", "pad_token": "<pad>"}
    return load_tokenizer(save_tokenizer(tokenizer, folder, **roles))


@pytest.fixture
def both(tmp_path):
    known = [*ANIMALS, *METALS, *ABOUT["animal"], *ABOUT["metal"]]
    old = tokenizer_of(known, tmp_path / "old")
    new = tokenizer_of([*reversed(known), "newbeast", "newmetal", "never"], tmp_path / "new")
    return old, new, sample_of(texts(), tmp_path / "texts.arrow")


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    torch.manual_seed(0)
    scores = torch.randn(50, 7)
    weights = sparsemax(scores)
    torch.testing.assert_close(weights.sum(1), torch.ones(50))
    assert (weights >= 0).all()
    assert (weights == 0).any()
    # No other point of the simplex is nearer.
    others = torch.distributions.Dirichlet(torch.ones(7)).sample((2000,))
    nearest = (scores - weights).norm(dim=1)
    assert ((scores[:, None] - others[None]).norm(dim=2).min(1).values >= nearest - 1e-6).all()


def test_tokens_in_the_same_company_are_similar(both):
    _, new, sample = both
    vectors = token_vectors(new, sample)
    ids = new.tokenizer.get_vocab()
    similar = vectors @ vectors.T
    assert similar[ids["newbeast"], ids["cat"]] > similar[ids["newbeast"], ids["gold"]] + 0.5
    assert similar[ids["newmetal"], ids["gold"]] > similar[ids["newmetal"], ids["cat"]] + 0.5
    assert not vectors[ids["never"]].any()
    assert torch.equal(vectors, token_vectors(new, sample))


def test_new_tokens_are_made_of_similar_ones(both):
    old, new, sample = both
    rows, mixtures = by_similarity(initial_rows(old, new), new, sample)
    ids, old_ids = new.tokenizer.get_vocab(), old.tokenizer.get_vocab()
    assert set(mixtures) == {ids["newbeast"], ids["newmetal"]}
    for name, kin in (("newbeast", ANIMALS), ("newmetal", METALS)):
        mixture = mixtures[ids[name]]
        assert sum(mixture.values()) == pytest.approx(1, abs=1e-5)
        heaviest = sorted(mixture, key=mixture.__getitem__)[-3:]
        assert set(heaviest) == {old_ids[word] for word in kin}
    assert rows.unknown == {ids["never"]}
    assert len(rows.shared) == 13
