"""The page of `mlmfast serve` as a visitor sees it, for tests with Playwright."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from places import ROOT

PICTURES = ROOT / ".cache" / "page"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {
    "viewport": {"width": 390, "height": 780},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


def find_chromium():
    """The path of a Chromium, or None."""
    names = (os.environ.get("MLMFAST_CHROMIUM"), *map(shutil.which, BROWSERS))
    return next(filter(None, names), None)


def expect(locator):
    """Playwright's `expect`, as patient as a test."""
    from playwright import sync_api

    sync_api.expect.set_options(timeout=120_000)
    return sync_api.expect(locator)


def choose_task(page, name):
    page.get_by_role("radio", name=name).check(force=True)


def type_text(page, text):
    page.locator("#text").press_sequentially(text)


def text_of(page):
    return page.locator("#text").input_value()


def panels(page, count):
    """The lists of candidates, once there are `count` of them and none waits for an answer."""
    expect(page.locator("#results:not([aria-busy]) section")).to_have_count(count)
    return page.locator("#results section")


def words(page, gap=0):
    """The words of a list, the notes beside them, and their probabilities."""
    rows = page.locator("#results section").nth(gap).locator(".word")
    return [row.split("\n") for row in rows.all_inner_texts()]


def bar_widths(page):
    """The width of each bar, as a share of its row."""
    return page.evaluate(
        "[...document.querySelectorAll('.word')].map(word => "
        "parseFloat(getComputedStyle(word, '::before').width) / word.clientWidth)"
    )


def readable(token):
    """A token as the page shows it."""
    word = re.sub("^##", "…", token.strip())
    return word or ("(nothing)" if token == "" else re.sub("[^\n]", "␣", token).replace("\n", "↵"))


def focused(page):
    """The id or the class of the element that has the keyboard."""
    return page.evaluate("document.activeElement.id || document.activeElement.className")


def answer_with(page, path, *answers):
    """Answer the next requests to a path with these; later ones reach the server."""
    waiting = list(answers)

    def answer(route):
        if not waiting:
            route.fallback()
            return
        status, body, *headers = waiting.pop(0)
        route.fulfill(
            status=status,
            body=json.dumps(body),
            content_type="application/json",
            headers=dict(headers),
        )

    page.route(path, answer)


def hold_requests(page, path):
    """Keep all requests to a path waiting; returns the list of their routes."""
    held = []
    # Playwright cannot call a method of a built-in type.
    page.route(path, lambda route: held.append(route))  # noqa: PLW0108
    return held


def low_contrast(page):
    """What is written on the page with a contrast below 4.5:1, by WCAG 2."""
    return page.evaluate(CONTRAST)
