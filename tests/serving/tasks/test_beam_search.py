"""Several masks filled together, beside a search that tries everything."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlmfast.errors import InputError, NoMaskError
from mlmfast.serving.engine.engine import Engine
from mlmfast.serving.fill_mask import FillMask
from mlmfast.serving.types import MaskedText, OutputSpec
from tolerances import GRAPHS, LAYERS


@pytest.fixture(scope="module", params=["bert", "roberta"])
def fill_mask(request, tiny_model):
    return FillMask(tiny_model(request.param).onnx, device="cpu", threads=2)


def test_one_mask_gives_the_rows_of_a_call(fill_mask):
    text = f"paris is {fill_mask.mask_token} city"
    rows, filled = fill_mask(text, top_k=4), fill_mask.fill(text, top_k=4)
    assert [row["tokens"] for row in filled] == [[row["token"]] for row in rows]
    assert [row["sequence"] for row in filled] == [row["sequence"] for row in rows]
    for one, other in zip(filled, rows, strict=True):
        assert list(one) == ["score", "tokens", "token_strs", "sequence"]
        assert one["score"] == pytest.approx(other["score"], rel=LAYERS)
        assert one["token_strs"] == [other["token_str"]]


def test_from_left_to_right_with_all_beams_it_finds_the_best_of_all(fill_mask):
    """Every first word is kept, so that the best pair cannot be missed."""
    size = len(fill_mask._model.tokenizer)
    mask = fill_mask.mask_token
    text = f"{mask} is the {mask} of france"
    best = fill_mask.fill(text, top_k=3, beams=size, order="left_to_right")
    first = fill_mask(text, top_k=size)[0]
    pairs = {}
    vocabulary = fill_mask._model.tokenizer
    ids = vocabulary._tokenizer.encode(text).ids
    place = ids.index(vocabulary.mask_id)
    for row in first[:12]:
        given = [*ids[:place], row["token"], *ids[place + 1 :]]
        second = second_words(fill_mask, given)
        for token, score in second.items():
            pairs[row["token"], token] = row["score"] * score
    expected = sorted(pairs.items(), key=lambda item: -item[1])[:3]
    assert [tuple(row["tokens"]) for row in best] == [pair for pair, _ in expected]
    for row, (_, score) in zip(best, expected, strict=True):
        assert row["score"] == pytest.approx(score, rel=GRAPHS)


def second_words(fill_mask, ids):
    row = np.array(ids)
    masks = np.flatnonzero(row == fill_mask._model.tokenizer.mask_id)
    question = MaskedText(row, np.zeros_like(row), masks)
    (found,) = fill_mask._engine.predict([question], OutputSpec(top_k=fill_mask._limits.vocab_size))
    return dict(zip(found.tokens[0].tolist(), found.scores[0].tolist(), strict=True))


def test_the_most_certain_mask_is_filled_first(fill_mask):
    """With one beam: the greedy filling, step by step by plain calls."""
    mask = fill_mask.mask_token
    text = f"{mask} is the {mask} of {mask}"
    (row,) = fill_mask.fill(text, top_k=1)
    ids = fill_mask._model.tokenizer._tokenizer.encode(text).ids
    places = [
        place for place, token in enumerate(ids) if token == fill_mask._model.tokenizer.mask_id
    ]
    score = 1.0
    still_open = list(places)
    while still_open:
        question = MaskedText(np.array(ids), np.zeros(len(ids), np.int64), np.array(still_open))
        (found,) = fill_mask._engine.predict([question], OutputSpec(top_k=1))
        chosen = int(found.scores[:, 0].argmax())
        score *= float(found.scores[chosen, 0])
        ids[still_open.pop(chosen)] = int(found.tokens[chosen, 0])
    assert row["tokens"] == [ids[place] for place in places]
    assert row["score"] == pytest.approx(score, rel=LAYERS)


def test_no_filling_comes_twice_and_the_best_comes_first(fill_mask):
    mask = fill_mask.mask_token
    rows = fill_mask.fill(f"{mask} {mask} is {mask}", top_k=10, beams=20)
    assert len({tuple(row["tokens"]) for row in rows}) == len(rows) == 10
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    assert all(mask not in row["sequence"] for row in rows)


def test_lists_are_filled_as_their_texts(fill_mask):
    mask = fill_mask.mask_token
    texts = [f"a {mask}", f"{mask} is the {mask} of france", f"{mask} {mask} {mask}"]
    together = fill_mask.fill(texts, top_k=2)
    for rows, text in zip(together, texts, strict=True):
        alone = fill_mask.fill(text, top_k=2)
        assert [row["tokens"] for row in rows] == [row["tokens"] for row in alone]
    assert fill_mask.fill([]) == []


def test_what_cannot_be_filled(fill_mask):
    mask = fill_mask.mask_token
    with pytest.raises(NoMaskError):
        fill_mask.fill("a city")
    for options in ({"top_k": 0}, {"beams": 0}, {"order": "random"}):
        with pytest.raises(InputError, match=next(iter(options))):
            fill_mask.fill(f"a {mask}", **options)


def test_a_bad_text_is_told_before_the_model_is_asked(fill_mask, monkeypatch):
    def asked(*_):
        raise AssertionError("the model was asked")

    monkeypatch.setattr(Engine, "run_batch", asked)
    with pytest.raises(NoMaskError, match="Text 101"):
        fill_mask.fill([f"a {fill_mask.mask_token}"] * 100 + ["a city"])
    with pytest.raises(InputError, match="Text 101"):
        fill_mask.score(["a city"] * 100 + [""])


def test_a_target_of_several_tokens_is_the_chain_of_its_pieces(fill_mask):
    mask = fill_mask.mask_token
    text = f"the capital {mask} far"
    words = ["galaxyparis", "paris", "berlin"]
    rows = fill_mask(text, targets=words, whole_targets=True)
    assert len(rows) == 3
    assert [row["score"] for row in rows] == sorted((r["score"] for r in rows), reverse=True)
    vocabulary = fill_mask._model.tokenizer
    pieces = vocabulary.pieces("galaxyparis")
    assert len(pieces) > 1
    ids = vocabulary._tokenizer.encode(text).ids
    place = ids.index(vocabulary.mask_id)
    expected = 0.0
    for step, piece in enumerate(pieces):
        known = [*pieces[:step], *[vocabulary.mask_id] * (len(pieces) - step)]
        expected += math.log(
            second_words(fill_mask, [*ids[:place], *known, *ids[place + 1 :]])[piece]
        )
    row = next(row for row in rows if row["tokens"] == pieces)
    assert math.log(row["score"]) == pytest.approx(expected, rel=LAYERS)
    assert row["sequence"] == vocabulary.decode(
        [*ids[:place], *pieces, *ids[place + 1 :]], skip_special_tokens=True
    )
    # A word of one token has the score that a plain call gives it.
    single = vocabulary.pieces("paris")
    if len(single) == 1:
        (plain,) = fill_mask(text, targets="paris")
        whole = next(row for row in rows if row["tokens"] == single)
        assert whole["score"] == pytest.approx(plain["score"], rel=LAYERS)


def test_whole_targets_with_several_masks_and_texts(fill_mask):
    mask = fill_mask.mask_token
    texts = [f"{mask} is {mask}", f"a {mask}"]
    two, one = fill_mask(texts, targets=["galaxyparis", "berlin"], whole_targets=True, top_k=1)
    assert [len(rows) for rows in two] == [1, 1]
    assert len(one) == 1
    assert all(mask in row["sequence"] for rows in two for row in rows)
    for targets in ([], [""], [3]):
        with pytest.raises(InputError, match="arget"):
            fill_mask(texts, targets=targets, whole_targets=True)
    with pytest.raises(InputError, match="whole_targets"):
        fill_mask(texts, whole_targets=True)
    # A text that is as long as it may be has no room for further masks.
    full = "is " * 61 + mask
    options = {"targets": ["galaxyparis"], "whole_targets": True}
    if len(fill_mask._model.tokenizer._tokenizer.encode(full)) == fill_mask.max_length:
        with pytest.raises(InputError, match="masks in place of one has"):
            fill_mask(full, **options)
        kept = list(fill_mask.stream([full, texts[1]], on_error="return", **options))
        assert [isinstance(one, InputError) for one in kept] == [True, False]
