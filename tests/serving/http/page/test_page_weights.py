"""The words of a text and their weights, where the model has a sparse encoder."""

from __future__ import annotations

import pytest

from mlmfast import SparseEncoder
from serve_page import choose_task, expect, low_contrast
from serving import begun


@pytest.fixture(scope="module")
def both(tiny_model, tiny_sparse):
    models = (f"sparse={tiny_sparse('bert').onnx}", f"plain={tiny_model('roberta').onnx}")
    with begun(*models, "--threads", "1") as it:
        yield it.url


def rows(page):
    found = page.locator("#results .weight")
    return [row.split("\n") for row in found.all_inner_texts()]


def test_words_are_shown_as_bars_of_their_weights(visit, both, tiny_sparse):
    page = visit(both, reduced_motion="reduce")
    choose_task(page, "Weigh words")
    expect(page.locator("#gap")).to_be_hidden()
    text = "paris is the capital of france"
    page.locator("#text").fill(text)
    expect(page.locator("#results:not([aria-busy]) .weight")).to_have_count(12)
    encoder = SparseEncoder(tiny_sparse("bert").onnx)
    expected = encoder(text, top_k=12)
    shown = [(row[0], float(row[-1])) for row in rows(page)]
    assert shown == [
        (token.replace("##", "…"), pytest.approx(weight, abs=0.006))
        for token, weight in expected.items()
    ]
    heaviest = max(expected.values())
    widths = page.evaluate(
        "[...document.querySelectorAll('.weight')].map(row => "
        "parseFloat(getComputedStyle(row, '::before').width) / row.clientWidth)"
    )
    assert widths == pytest.approx([w / heaviest for w in expected.values()], abs=0.005)
    added = [row[0] for row in rows(page) if "added" in row]
    assert added == [t.replace("##", "…") for t in expected if t.removeprefix("##") not in text]
    assert low_contrast(page)["failures"] == []
    page.get_by_role("button", name="Show more words").click()
    every = encoder(text, top_k=100)
    expect(page.locator("#results:not([aria-busy]) .weight")).to_have_count(len(every))


def test_a_model_without_the_encoder_has_no_such_task(visit, both):
    page = visit(both)
    choose_task(page, "Weigh words")
    page.get_by_label("Model").select_option("plain")
    expect(page.locator("#weigh")).to_be_hidden()
    expect(page.get_by_role("radio", name="Fill each gap")).to_be_checked()
    page.get_by_label("Model").select_option("sparse")
    expect(page.locator("#weigh")).to_be_visible()


def test_a_link_opens_the_task(visit, both):
    page = visit(f"{both}#task=weigh&model=sparse&text=berlin")
    expect(page.get_by_role("radio", name="Weigh words")).to_be_checked()
    expect(page.locator("#results:not([aria-busy]) .weight")).to_have_count(12)
