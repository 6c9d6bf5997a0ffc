"""Pseudo-log-likelihood, beside PyTorch masking one token after the other."""

from __future__ import annotations

import math

import pytest

from mlmfast.errors import InputError
from mlmfast.serving.fill_mask import FillMask
from tolerances import GRAPHS, LAYERS

TEXTS = ["paris is the capital of france", "the galaxyparis", "far !"]


class Scored:
    def __init__(self, model):
        import torch
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        self.torch = torch
        self.ours = FillMask(model.onnx, device="cpu", threads=2)
        self.model = AutoModelForMaskedLM.from_pretrained(model.checkpoint).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(model.checkpoint)

    def oracle(self, text, *, word_l2r=False):
        encoded = self.tokenizer(text, return_special_tokens_mask=True)
        ids, words = encoded["input_ids"], encoded.word_ids()
        scores = []
        for place, special in enumerate(encoded["special_tokens_mask"]):
            if special:
                continue
            masked = list(ids)
            for other in range(place, len(ids)):
                same_word = other > place and words[other] == words[place] is not None
                if other == place or (word_l2r and same_word):
                    masked[other] = self.tokenizer.mask_token_id
            with self.torch.no_grad():
                logits = self.model(input_ids=self.torch.tensor([masked])).logits[0, place]
            scores.append(float(logits.double().log_softmax(-1)[ids[place]]))
        return scores


@pytest.fixture(scope="module", params=["bert", "roberta"])
def scored(request, tiny_model):
    return Scored(tiny_model(request.param))


@pytest.mark.parametrize("method", ["original", "word_l2r"])
@pytest.mark.parametrize("text", TEXTS)
def test_each_token_masked_in_turn(scored, text, method):
    told = scored.ours.score(text, per_token=True, method=method)
    expected = scored.oracle(text, word_l2r=method == "word_l2r")
    assert told["token_scores"] == pytest.approx(expected, rel=GRAPHS, abs=LAYERS)
    assert told["score"] == pytest.approx(sum(expected), rel=GRAPHS, abs=LAYERS)
    assert told["score"] == scored.ours.score(text, method=method)
    assert told["tokens"] == scored.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(told["token_strs"]) == len(expected)


def test_the_two_methods_differ_in_a_word_of_several_tokens(scored):
    original, l2r = (
        scored.ours.score("galaxyparis", per_token=True, method=method)
        for method in ("original", "word_l2r")
    )
    assert original["token_scores"][0] != pytest.approx(l2r["token_scores"][0], rel=GRAPHS)
    assert original["token_scores"][-1] == pytest.approx(l2r["token_scores"][-1], rel=LAYERS)


def test_lists(scored):
    texts = TEXTS * 30
    together = scored.ours.score(texts)
    assert together == pytest.approx([scored.ours.score(text) for text in TEXTS] * 30, rel=LAYERS)
    assert scored.ours.score([]) == []


def test_masks_and_special_tokens_are_context(scored):
    mask = scored.ours.mask_token
    told = scored.ours.score(f"paris is {mask}", per_token=True)
    assert scored.tokenizer.mask_token_id not in told["tokens"]
    assert all(math.isfinite(score) for score in told["token_scores"])


def test_what_cannot_be_scored(scored):
    for text, told in (("", "no token"), (3, "must be a string"), ("is " * 90, "at most 64")):
        with pytest.raises(InputError, match=told):
            scored.ours.score(text)
        with pytest.raises(InputError, match=r"Text 2.*" + told):
            scored.ours.score(["a", text])
    with pytest.raises(InputError, match="method"):
        scored.ours.score("a", method="best")


def test_errors_take_the_place_of_scores_when_asked(scored):
    texts = ["paris is far", "", "far !", 3]
    found = scored.ours.score(texts, on_error="return", names=lambda number: f"Row {number}")
    assert [isinstance(one, InputError) for one in found] == [False, True, False, True]
    assert str(found[1]).startswith("Row 2 ")
    assert [found[0], found[2]] == pytest.approx(scored.ours.score(texts[0:3:2]), rel=LAYERS)
    with pytest.raises(InputError, match="on_error"):
        scored.ours.score(texts, on_error="skip")
