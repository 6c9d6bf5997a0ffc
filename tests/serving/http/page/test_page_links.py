"""Links that keep the model and the text, and what the copy buttons copy."""

from __future__ import annotations

import json
import subprocess

from serve_page import choose_task, expect, panels, readable, text_of, words
from serving import until

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}


def copied(page, button):
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    return page.evaluate("navigator.clipboard.readText()")


def test_a_link_keeps_task_model_and_text(visit):
    page = visit(**CLIPBOARD)
    page.get_by_label("Model").select_option("bert")
    choose_task(page, "Compare words")
    page.locator("#text").fill("50 % of ___ & #1 is\n“___”")
    page.locator("#words").fill("milky way, city")
    panels(page, 2)
    shown = words(page)
    link = copied(page, "Copy link")
    until(lambda: page.url == link)  # the address itself is as good
    asked = []
    other = visit(link, prepare=lambda it: it.on("request", lambda one: asked.append(one.url)))
    panels(other, 2)
    assert text_of(other) == "50 % of [MASK] & #1 is\n“[MASK]”"
    assert other.locator("#model").input_value() == "bert"
    assert words(other) == shown
    assert not any("city" in url for url in asked)  # the server's log has no texts


def test_a_link_to_a_model_that_is_gone(visit, server):
    page = visit(f"{server}/#model=large&text=the%20___%20way")
    panels(page, 1)
    assert text_of(page) == "the <mask> way"
    expect(page.locator("#link-note")).to_contain_text("names the model large")
    page.get_by_label("Model").select_option("bert")
    expect(page.locator("#link-note")).to_be_hidden()


def test_another_link_opens_in_the_same_page(visit, server):
    page = visit(f"{server}/#text=the%20___%20way")
    panels(page, 1)
    page.goto(f"{server}/#task=score&model=bert&text=paris%20is")
    expect(page.locator(".token").first).to_be_visible()
    assert text_of(page) == "paris is"


def test_the_text_and_the_command_are_copied(visit):
    page = visit(**CLIPBOARD)
    text = "it's ___"
    page.locator("#text").fill(text)
    panels(page, 1)
    assert copied(page, "Copy text") == "it's <mask>"
    expect(page.locator("#announcement")).to_have_text("Copied to the clipboard.")
    page.get_by_role("button", name="Copied").first.wait_for(state="hidden")
    page.locator("summary").click()
    command = copied(page, "Copy command")
    answer = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
    rows = json.loads(answer)["answers"][0]["masks"][0]
    assert words(page)[0][0] == readable(rows[0]["token_str"])


def test_copying_works_without_the_clipboard_api(visit):
    """Browsers offer it only over HTTPS and to pages of this machine."""
    missing = "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    page = visit(prepare=lambda page: page.add_init_script(missing))
    page.locator("#text").fill("the ___ way")
    page.get_by_role("button", name="Copy text").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.locator("#text").fill("")
    page.locator("#text").focus()
    page.keyboard.press("Control+v")
    assert text_of(page) == "the <mask> way"
