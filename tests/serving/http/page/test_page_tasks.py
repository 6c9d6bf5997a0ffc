"""Gaps filled together, words compared, and texts scored token by token."""

from __future__ import annotations

import math
import re

import pytest

from mlmfast.serving.fill_mask import FillMask
from serve_page import bar_widths, choose_task, expect, panels, readable, text_of, words

MINUS = "\N{MINUS SIGN}"


def test_gaps_are_filled_together(visit, models):
    page = visit(reduced_motion="reduce")
    choose_task(page, "Fill all together")
    text = "paris is the <mask> of <mask> and berlin"
    page.locator("#text").fill(text)
    panels(page, 1)
    fillings = FillMask(models["roberta"]).fill(text, top_k=6)
    shown = [word for word, _ in words(page)]
    assert shown == [" · ".join(map(readable, row["token_strs"])) for row in fillings]
    assert bar_widths(page) == pytest.approx([row["score"] for row in fillings], abs=0.005)
    page.locator(".word").nth(1).hover()
    second = [readable(token) for token in fillings[1]["token_strs"]]
    expect(page.locator("#results h2 mark")).to_have_text(second)
    page.locator(".word").nth(1).click()
    panels(page, 0)
    assert text_of(page).split() == fillings[1]["sequence"].split()


def test_words_are_compared(visit, models):
    page = visit()
    choose_task(page, "Compare words")
    for model, text, targets in (
        ("roberta", "paris is the <mask> of france", [" capital", " city", " solar system"]),
        ("bert", "paris is the [MASK] of france", ["capital", "city", "solar system"]),
    ):
        page.get_by_label("Model").select_option(model)
        page.locator("#words").fill("")
        page.locator("#text").fill(text)
        expect(page.locator("#hint")).to_contain_text("words to compare")
        page.get_by_label("Words to compare").fill("capital, city,, solar system, city")
        panels(page, 1)
        rows = FillMask(models[model])(text, targets=targets, whole_targets=True, top_k=3)
        # WordPiece writes no blank between the words of a target.
        expected = [
            next(word.strip() for word in targets if word.replace(" ", "") == "".join(letters))
            for letters in (re.findall(r"[a-z]", "".join(row["token_strs"])) for row in rows)
        ]
        assert [row[0] for row in words(page)] == expected
        ratio = rows[0]["score"] / rows[2]["score"]
        note = words(page)[2][1]
        said = re.match(r"([\d,.]+) times less probable", note)
        if said is None:
            assert note == "over a million times less probable"
            assert ratio >= 1e6
        else:
            assert float(said[1].replace(",", "")) == pytest.approx(ratio, rel=0.06)
        page.locator(".word").nth(1).click()
        panels(page, 0)
        assert text_of(page) == re.sub(r"<mask>|\[MASK\]", expected[1], text)


def test_a_text_is_scored_token_by_token(visit, models):
    page = visit()
    page.get_by_label("Model").select_option("bert")
    choose_task(page, "Score the text")
    text = "Paris is [MASK] the  capital of Fránce, isn't it?"
    page.locator("#text").fill(text)
    tokens = page.locator(".token")
    answer = FillMask(models["bert"]).score(text, method="word_l2r", per_token=True)
    expect(tokens).to_have_count(len(answer["tokens"]))
    numbers = page.locator(".token small").all_inner_texts()
    for number, score in zip(numbers, answer["token_scores"], strict=True):
        if math.exp(score) >= 1e-4:
            share = float(number.removesuffix("\u202f%"))
            assert share == pytest.approx(100 * math.exp(score), rel=0.06)
        else:
            assert number == "<\u202f0.01\u202f%"
    heats = page.evaluate(
        "[...document.querySelectorAll('.token')].map(one => +one.style.getPropertyValue('--heat'))"
    )
    expected = [min(score / math.log(1e-4), 1) for score in answer["token_scores"]]
    assert heats == pytest.approx(expected, abs=0.001)
    facts = page.locator(".facts").first.inner_text()
    assert f"{answer['score']:.2f}".replace("-", MINUS) in facts
    # The text reads as it was written: capitals, accents, blanks.
    line = page.evaluate(
        "[...document.querySelector('.heat').cloneNode(true).childNodes].map(one => "
        "one.querySelector?.('bdi').textContent ?? one.textContent).join('')"
    )
    assert line == text
    assert not any("MASK" in token for token in tokens.all_inner_texts())


def test_tokens_are_found_in_the_text_they_come_from(visit):
    page = visit()
    broken = "\N{REPLACEMENT CHARACTER}"
    for text, tokens, expected in (
        ("Fránce isn't", ["france", "isn", "'", "t"], ["Fránce", "isn", "'", "t"]),
        ("Unbelievable!", ["un", "##bel", "##ievable", "!"], ["Un", "bel", "ievable", "!"]),
        ("paris  is", ["paris", " ", " is"], ["paris", " ", "is"]),
        ("a ♞ ♜, b", ["a", "[UNK]", "[UNK]", ",", "b"], ["a", "♞", "♜", ",", "b"]),
        ("学生", ["[UNK]", "[UNK]"], ["学", "生"]),
        ("a👩!", ["a", broken, broken, broken, "!"], ["a", "👩", None, None, "!"]),
        ("the cat", ["dog"], ["the cat"]),
    ):
        spans = page.evaluate(
            "async ([text, tokens]) => (await import('/page/scripts/tokens.js'))"
            ".alignTokens(text, tokens).map(span => span && text.slice(...span))",
            [text, tokens],
        )
        assert spans == expected, text


def test_a_scored_token_shows_what_the_model_expected(visit, models):
    page = visit()
    page.get_by_label("Model").select_option("bert")
    choose_task(page, "Score the text")
    page.locator("#text").fill("paris is the galaxy of france")
    page.get_by_role("button", name="galaxy,").click()
    panels(page, 2)
    expected = FillMask(models["bert"])("paris is the [MASK] of france", top_k=6)
    assert [word for word, _ in words(page, 1)] == [readable(row["token_str"]) for row in expected]
    page.locator(".word").first.click()
    panels(page, 1)
    assert text_of(page).split() == expected[0]["sequence"].split()


def test_tokens_are_reached_by_keyboard(visit):
    page = visit()
    choose_task(page, "Score the text")
    page.locator("#text").fill("paris is the capital of france")
    panels(page, 1)
    page.locator("#text").focus()
    page.keyboard.press("Control+End")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert re.fullmatch(r"is, (< )?[\d.]+ %", label)
    page.keyboard.press("Enter")
    panels(page, 2)


def test_a_long_text_is_scored_when_the_visitor_says_so(visit):
    page = visit()
    choose_task(page, "Score the text")
    scored = []
    page.on("request", lambda request: request.url.endswith("/v1/score") and scored.append(1))
    page.route("**/v1/score", lambda route: route.fulfill(json=_SCORED))
    page.locator("#text").fill("paris " * 100)
    run = page.get_by_role("button", name="Score it")
    expect(run).to_be_visible()
    assert scored == []
    run.click()
    panels(page, 1)
    expect(run).to_be_hidden()


_SCORED = {
    "model": "roberta",
    "answers": [{"score": -1.0, "tokens": [1], "token_strs": ["paris"], "token_scores": [-1.0]}],
    "tokens": 3,
    "timing": {"queue_ms": 1, "run_ms": 1, "total_ms": 2},
}


def test_a_task_says_what_it_still_needs(visit):
    page = visit()
    hint = page.locator("#hint")
    for task, text, said in (
        ("Fill each gap", "paris", "No gap yet"),
        ("Fill all together", "paris", "No gap yet"),
        ("Compare words", "the ___", "words to compare"),
        ("Score the text", "___", "Nothing to score"),
    ):
        choose_task(page, task)
        page.locator("#text").fill(text)
        expect(hint).to_contain_text(said)
        panels(page, 0)
    page.locator("#text").fill("")
    for task in ("Fill all together", "Compare words", "Fill each gap"):
        choose_task(page, task)
        page.locator("#examples button").first.click()
        expect(page.locator("#results section").first).to_be_visible()
        page.locator("#text").fill("")
