"""Gaps in a text, the words for them, and how they are filled."""

from __future__ import annotations

import re

import pytest

from mlmfast.serving.fill_mask import FillMask
from serve_page import (
    PHONE,
    bar_widths,
    expect,
    focused,
    panels,
    readable,
    text_of,
    type_text,
    words,
)


def test_the_bars_are_the_models_answer(visit, models):
    page = visit()
    type_text(page, "paris is the ___ of france.")
    assert text_of(page) == "paris is the <mask> of france."
    panels(page, 1)
    expected = FillMask(models["roberta"])("paris is the <mask> of france.", top_k=6)
    assert [word for word, _ in words(page)] == [readable(row["token_str"]) for row in expected]
    for (_, share), row in zip(words(page), expected, strict=True):
        # The page shows two digits.
        assert float(share.removesuffix(" %")) == pytest.approx(100 * row["score"], rel=0.05)
    rest = page.locator(".rest i").inner_text()
    others = 1 - sum(row["score"] for row in expected)
    assert float(rest.removesuffix(" %")) == pytest.approx(100 * others, abs=0.6)
    assert re.fullmatch(
        r"\d+(\.\d)? ms, \d+(\.\d)? in the model", page.locator("#time").inner_text()
    )
    page.locator("#more").click()
    expect(page.locator(".word")).to_have_count(24)


def test_all_bars_have_one_scale_from_0_to_100_percent(visit, models):
    page = visit(reduced_motion="reduce")
    text = "paris is the <mask> of france and <mask> is in germany"
    page.locator("#text").fill(text)
    panels(page, 2)
    scores = [row["score"] for rows in FillMask(models["roberta"])(text, top_k=6) for row in rows]
    assert bar_widths(page) == pytest.approx(scores, abs=0.005)


def test_a_filled_gap_reads_as_the_models_own_sequence(visit, models):
    page = visit()
    for model, text in (
        ("roberta", "paris is <mask> of france"),
        ("roberta", "<mask> is a city in germany"),
        ("roberta", "it does not rain<mask>!"),
        ("bert", "paris is [MASK] of france"),
        ("bert", "[MASK] is a city"),
    ):
        page.locator("#model").select_option(model)
        page.locator("#text").fill(text)
        panels(page, 1)
        for number, row in enumerate(FillMask(models[model])(text, top_k=4)):
            page.locator(".word").nth(number).click()
            panels(page, 0)
            assert text_of(page).split() == row["sequence"].removeprefix("##").split()
            page.get_by_role("button", name="Undo").click()
            panels(page, 1)
            assert text_of(page) == text


def test_any_run_of_underscores_is_one_gap(visit):
    page = visit()
    for run in ("___", "____", "_____", "_" * 12):
        page.locator("#text").fill("")
        type_text(page, f"the {run} way")
        assert text_of(page) == "the <mask> way"
        page.locator("#text").fill(f"{run} and {run}, a_b __init__")
        assert text_of(page) == "<mask> and <mask>, a_b __init__"
        page.locator("#text").fill("the ")
        page.keyboard.press("Control+End")
        page.keyboard.insert_text(run + "!")
        assert text_of(page) == "the <mask>!"
        caret = page.evaluate("document.getElementById('text').selectionEnd")
        assert caret == len("the <mask>!")


def test_leaving_a_bar_ends_its_preview(visit):
    page = visit()
    page.locator("#text").fill("the ___ way")
    panels(page, 1)
    shown = page.locator("#results h2 mark")
    best, second, third = (word for word, _ in words(page)[:3])
    expect(shown).to_have_text(best)
    page.locator(".word").nth(2).hover()
    expect(shown).to_have_text(third)
    page.locator("h1").hover()
    expect(shown).to_have_text(best)
    page.locator(".word").nth(1).focus()
    expect(shown).to_have_text(second)
    page.locator(".word").nth(2).hover()
    page.locator("h1").hover()
    expect(shown).to_have_text(second)  # the keyboard is still there
    page.locator("#text").focus()
    expect(shown).to_have_text(best)


def test_by_keyboard_alone(visit):
    page = visit()
    assert focused(page) == "text"
    page.keyboard.type("the ")
    page.keyboard.press("Alt+m")
    page.keyboard.type(" way is a galaxy")
    page.keyboard.press("Shift+Control+ArrowLeft")
    page.keyboard.press("Alt+m")
    assert text_of(page) == "the <mask> way is a <mask>"
    panels(page, 2)
    order = []
    for _ in range(6):
        page.keyboard.press("Tab")
        order.append(focused(page))
    # One stop a list, whatever its words.
    assert order == ["gap", "undo", "copy-text", "copy-link", "word", "word"]
    page.locator("#text").focus()
    page.keyboard.press("Control+End")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    second = words(page, 1)[1][0]
    assert page.evaluate("document.activeElement.querySelector('b').textContent") == second
    # It is shown in its place before it is chosen.
    assert page.locator("h2 mark").nth(1).inner_text() == second
    page.keyboard.press("Enter")
    panels(page, 1)
    assert text_of(page).startswith("the <mask> way is a")
    assert focused(page) == "word"
    page.keyboard.press("Enter")
    panels(page, 0)
    assert "<mask>" not in text_of(page)
    assert focused(page) == "text"
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert text_of(page) == "the <mask> way is a <mask>"


def test_undo_goes_back_to_the_empty_text(visit):
    page = visit()
    type_text(page, "the milky ___")
    states = [text_of(page)]
    while states[-1]:
        page.keyboard.press("Control+z")
        states.append(text_of(page))
    assert states == ["the milky <mask>", "the milky", "the", ""]
    for text in ("the", "the milky", "the milky <mask>"):
        page.keyboard.press("Control+Shift+z")
        assert text_of(page) == text
    page.get_by_label("Model").select_option("bert")
    assert text_of(page) == "the milky [MASK]"
    page.locator("#text").focus()
    page.keyboard.press("Control+z")
    assert text_of(page) == "the milky"


def test_another_model_has_its_own_mask(visit, models):
    page = visit()
    page.locator("#text").fill("<mask> is the ___ of [MASK]")
    assert text_of(page) == "<mask> is the <mask> of <mask>"
    panels(page, 3)
    page.get_by_label("Model").select_option("bert")
    assert text_of(page) == "[MASK] is the [MASK] of [MASK]"
    expected = FillMask(models["bert"])(text_of(page), top_k=6)
    first = [readable(row["token_str"]) for row in expected[2]]
    expect(page.locator("#results section").nth(2).locator("b")).to_have_text(first)
    assert "bert" in page.locator("footer").inner_text()


def test_on_a_phone(visit):
    page = visit(**PHONE)
    page.get_by_role("button", name="Paris is the").tap()
    panels(page, 1)
    page.locator("#gap").tap()
    panels(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["viewport"]["width"]
    low = page.evaluate(
        "[...document.querySelectorAll('button, select, summary, #tasks label')]"
        ".filter(one => one.offsetParent && one.offsetHeight < 44).map(one => one.outerHTML)"
    )
    assert low == []
    # The keyboard of a phone stays away while words are tapped.
    for left in (1, 0):
        page.evaluate("document.activeElement.blur()")
        page.locator(".word").nth(2).tap()
        panels(page, left)
        assert focused(page) != "text"


def test_markup_of_a_text_stays_text(visit):
    page = visit()
    page.locator("#text").fill("<img src=x onerror=alert(1)> ___ <b>b</b>")
    panels(page, 1)
    assert "<img" in page.locator("h2").inner_text()
    assert page.locator("main img, main h2 b").count() == 0
