"""Contrast, sizes, directions of scripts."""

from __future__ import annotations

import pytest

from serve_page import (
    PICTURES,
    answer_with,
    choose_task,
    expect,
    hold_requests,
    low_contrast,
    panels,
    text_of,
)

ARABIC = "باريس هي عاصمة فرنسا"


def test_every_text_stands_out_in_light_and_dark(visit):
    page = visit(reduced_motion="reduce")

    def check(state):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = low_contrast(page)
            assert found["failures"] == [], (state, scheme)
            assert found["checked"] > 5, state
            paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            assert (sum(map(int, paper[4:-1].split(","))) < 180) == (scheme == "dark")
            page.screenshot(path=PICTURES / f"{scheme}-{state.replace(' ', '-')}.png")

    expect(page.locator("#examples button")).to_have_count(3)
    check("empty")
    page.locator("#text").fill("the ___ way is ___")
    panels(page, 2)
    page.locator("summary").click()
    check("candidates")
    choose_task(page, "Fill all together")
    panels(page, 1)
    check("fillings")
    choose_task(page, "Compare words")
    check("no words to compare")
    page.locator("#words").fill("galaxy, city")
    panels(page, 2)
    check("comparison")
    choose_task(page, "Score the text")
    page.get_by_role("button", name="the,").click()
    panels(page, 2)
    check("score")
    choose_task(page, "Fill each gap")
    panels(page, 2)
    answer_with(page, "**/v1/fill-mask", (429, {"error": "x"}, ("Retry-After", "60")))
    page.locator("#text").fill("the ___ way is ___ again")
    expect(page.locator("#stale")).to_be_visible()
    check("busy with the words of an earlier text")
    hold_requests(page, "**/v1/fill-mask")
    page.locator("#text").fill("the ___ way is ___ once more")
    expect(page.locator("#progress")).to_be_visible()
    check("slow")
    page.get_by_role("button", name="Stop").click()
    page.unroute_all(behavior="ignoreErrors")
    page.locator("#text").fill("the ___ " + "way " * 100)
    expect(page.locator("#cut")).to_be_visible()
    check("too long")
    page.locator("#cut").click()
    panels(page, 1)
    check("cut")
    answer_with(page, "**/v1/models", (401, {"error": "x"}))
    page.evaluate("sessionStorage.setItem('mlmfast-key', 'old')")
    page.reload()
    expect(page.locator("#key-trouble")).not_to_be_empty()
    check("locked")


def test_a_text_runs_in_its_own_direction(visit):
    page = visit()
    for text, direction in (
        (ARABIC, "rtl"),
        (f"___ {ARABIC}", "rtl"),  # the letters of a mask token do not count
        ("___ is Paris", "ltr"),
        (f"In Arabic: {ARABIC} ___", "ltr"),
    ):
        page.locator("#text").fill(text)
        for box in ("#text", "#mirror"):
            style = page.locator(box).evaluate("box => getComputedStyle(box).direction")
            assert style == direction, (text, box)


def test_gaps_are_painted_where_they_are(visit):
    page = visit()
    for text in ("the ___ way is ___", f"___ {ARABIC} ___ {ARABIC}", "the way ___ " * 30):
        page.locator("#text").fill(text)
        # A copy of the box's text, laid out alike, has its mask tokens where the marks are.
        apart = page.evaluate(
            """() => {
              const mirror = document.getElementById("mirror");
              const copy = mirror.cloneNode();
              copy.textContent = document.getElementById("text").value;
              copy.dir = document.getElementById("text").dir;
              mirror.after(copy);
              const offsets = [...copy.textContent.matchAll(/<mask>/g)].map((match) => {
                const range = document.createRange();
                range.setStart(copy.firstChild, match.index);
                range.setEnd(copy.firstChild, match.index + 6);
                return range.getBoundingClientRect();
              });
              copy.remove();
              return [...mirror.querySelectorAll("mark")].map((mark, at) => {
                const box = mark.getBoundingClientRect();
                return Math.hypot(box.left - offsets[at].left, box.top - offsets[at].top);
              });
            }"""
        )
        assert apart == pytest.approx([0] * text.count("___"), abs=1.5), text


def test_long_texts_have_the_size_of_a_text_to_read(visit):
    page = visit()
    size = "box => parseFloat(getComputedStyle(box).fontSize)"
    box = page.locator("#text")
    box.fill("the ___ way")
    assert box.evaluate(size) > 24
    box.fill("the milky way " * 20)
    assert 16 <= box.evaluate(size) <= 18
    box.fill("the milky way " * 1000)
    # It scrolls, so that the buttons below it stay in sight.
    assert page.locator("#gap").bounding_box()["y"] < 860
    assert text_of(page) == "the milky way " * 1000


def test_controls_have_names_and_roles(visit):
    page = visit()
    page.locator("#text").fill("the ___ way")
    panels(page, 1)
    assert page.get_by_role("group", name="What to do").get_by_role("radio").count() == 4
    assert page.get_by_role("textbox", name="Write a sentence with a gap").count() == 1
    assert page.get_by_role("list", name="Words for gap 1").get_by_role("listitem").count() == 7
    expect(page.locator("#announcement[role=status]")).to_contain_text("Gap 1 of 1: ")
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, select, textarea')].filter(one => "
        "!one.textContent.trim() && !one.labels?.length && !one.ariaLabel)"
        ".map(one => one.outerHTML)"
    )
    assert nameless == []
