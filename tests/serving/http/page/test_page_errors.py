"""A server that is busy, slow, lost, loading or locked, and texts that it does not take."""

from __future__ import annotations

from serve_page import answer_with, choose_task, expect, focused, hold_requests, panels, text_of
from serving import begun

FULL = (429, {"error": "full", "error_type": "queue_full"}, ("Retry-After", "7"))
LOADING = (503, {"error": "loading", "error_type": "unavailable"})


def test_a_busy_server_is_asked_again(visit):
    page = visit()
    page.clock.install()
    answer_with(page, "**/v1/fill-mask", FULL, LOADING)
    alert = page.get_by_role("alert")
    page.locator("#text").fill("the ___")
    page.clock.run_for(200)
    expect(alert.filter(has_text="busy")).to_be_visible()
    expect(page.locator("#status")).to_have_text("Busy")
    expect(page.locator("#countdown")).to_have_text("Next try in 7 s")
    page.clock.run_for(8000)
    expect(alert.filter(has_text="not ready")).to_be_visible()
    page.clock.run_for(3000)
    panels(page, 1)
    expect(page.locator("#trouble")).to_be_empty()
    expect(page.locator("#status")).to_have_text("Ready")


def test_try_now_does_not_wait(visit):
    page = visit()
    page.clock.install()
    answer_with(page, "**/v1/fill-mask", FULL)
    page.locator("#text").fill("the ___")
    page.clock.run_for(200)
    page.get_by_role("button", name="Try now").click()
    panels(page, 1)
    expect(page.locator("#countdown")).to_be_empty()


def test_a_text_that_is_too_long_is_cut_around_its_gap(visit):
    page = visit()
    page.locator("#text").fill("way " * 100 + "the ___ way " + "is " * 100)
    expect(page.locator("#trouble")).to_contain_text("tokens, and the model reads 64 at once")
    for left in ("Show more words", "The same from a shell", "Try now"):
        expect(page.get_by_text(left)).to_be_hidden()
    page.get_by_role("button", name="Cut it").click()
    panels(page, 1)
    expect(page.get_by_text("only the part around the gaps")).to_be_visible()
    assert '"truncate":true' in page.locator("#curl").text_content()
    page.get_by_role("button", name="Read all").click()
    expect(page.get_by_role("button", name="Cut it")).to_be_visible()
    panels(page, 0)
    # A short text is read as a whole.
    page.locator("#text").fill("the ___ way")
    panels(page, 1)
    expect(page.get_by_text("only the part around the gaps")).to_be_hidden()


def test_a_text_that_is_too_long_to_score_loses_its_end(visit):
    page = visit()
    choose_task(page, "Score the text")
    page.locator("#text").fill("the milky way is a galaxy " * 15)
    page.get_by_role("button", name="Cut it").click()
    expect(page.locator(".token").first).to_be_visible()
    kept = text_of(page)
    assert ("the milky way is a galaxy " * 15).startswith(kept)
    assert 100 < len(kept) < 390
    page.get_by_role("button", name="Undo").click()
    assert text_of(page) == "the milky way is a galaxy " * 15


def test_errors_speak_the_language_of_the_page(visit):
    page = visit()
    for status, body, said in (
        (413, {"error": "x", "error_type": "body_too_large"}, "more text than the server takes"),
        (422, {"error": "x", "error_type": "too_many_rows"}, "Show fewer words"),
        (422, {"error": "x", "error_type": "too_many_passes"}, "more often than the server allows"),
        (422, {"error": "Half a pair.", "error_type": "bad_input"}, "Half a pair."),
        (500, {"error": "x", "error_type": "model_failed"}, "The model failed"),
        (500, {"error": "x", "error_type": "internal", "request_id": "r7"}, "under r7"),
        (504, {"error": "x", "error_type": "timeout"}, "took too long"),
        (404, {"error": "x", "error_type": "no_such_model"}, "no longer has this model"),
    ):
        answer_with(page, "**/v1/fill-mask", (status, body))
        page.locator("#text").fill(f"{said} ___")
        expect(page.locator("#trouble")).to_contain_text(said)
        panels(page, 0)
        page.get_by_role("button", name="Try now").click()
        panels(page, 1)
        expect(page.locator("#trouble")).to_be_empty()


def test_a_server_that_went_away(visit):
    page = visit()
    page.clock.install()
    page.locator("#text").fill("the ___")
    page.clock.run_for(200)
    panels(page, 1)
    page.route("**/v1/*", lambda route: route.abort())
    page.locator("#text").fill("the ___ way")
    page.clock.run_for(200)
    expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    expect(page.locator("#status")).to_have_text("Not reachable")
    # The words for the earlier text are still there, marked as such, and cannot be chosen.
    expect(page.get_by_text("those to the earlier text")).to_be_visible()
    page.locator(".word").first.click()
    assert text_of(page) == "the <mask> way"
    page.clock.run_for(5000)
    expect(page.locator("#countdown")).to_have_text("Next try in 6 s")  # longer each time
    page.unroute("**/v1/*")
    page.clock.run_for(7000)
    expect(page.locator("#trouble")).to_be_empty()
    page.clock.run_for(200)
    panels(page, 1)
    expect(page.locator("#status")).to_have_text("Ready")


def test_a_slow_server_looks_so_and_can_be_stopped(visit):
    page = visit()
    page.clock.install()
    held = hold_requests(page, "**/v1/fill-mask")
    page.locator("#text").fill("the ___")
    page.clock.run_for(1000)
    expect(page.locator("#status")).to_have_text("Working")
    expect(page.locator("#progress")).to_be_hidden()
    page.clock.run_for(4200)
    expect(page.locator("#status")).to_have_text("Slow")
    expect(page.locator("#seconds")).to_have_text("5 s")
    expect(page.locator("#announcement")).to_have_text("Still waiting for the answer.")
    held.pop().continue_()
    panels(page, 1)
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#status")).to_have_text("Ready")

    page.locator("#text").fill("the ___ way")
    page.clock.run_for(3000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#hint")).to_contain_text("Stopped")
    expect(page.locator("#status")).to_have_text("Ready")
    assert focused(page) == "text"
    panels(page, 0)
    for route in held:
        route.abort()


def test_a_server_that_does_not_answer_at_first(visit):
    held = []

    def prepare(page):
        page.clock.install()
        held.append(hold_requests(page, "**/v1/models"))

    page = visit(prepare=prepare, is_connected=False)
    expect(page.locator("#status")).to_have_text("Connecting")
    page.clock.run_for(3000)
    expect(page.locator("#status")).to_have_text("Slow")
    expect(page.locator("#progress")).to_contain_text("Still waiting")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    held[0].pop().continue_()
    expect(page.locator("#status")).to_have_text("Ready")
    expect(page.locator("#examples button")).to_have_count(3)


def test_models_that_are_not_loaded_cannot_be_chosen(visit):
    def prepare(page):
        def answer(route):
            found = route.fetch().json()
            found["models"].insert(0, {"name": "large", "ready": False, "loads": 1})
            route.fulfill(json=found)

        page.route("**/v1/models", answer)

    page = visit(prepare=prepare)
    expect(page.locator("#model option")).to_have_text(
        ["large (not loaded)", "roberta", "bert"], use_inner_text=True
    )
    assert page.locator("#model").input_value() == "roberta"
    assert page.locator("#model option:disabled").count() == 1
    page.locator("#text").fill("the ___")
    panels(page, 1)


def test_a_server_that_is_loading(visit):
    loading = [{"models": [{"name": "large", "ready": False, "loads": 0}]}]

    def prepare(page):
        page.clock.install()
        page.route(
            "**/v1/models",
            lambda route: route.fulfill(json=loading.pop()) if loading else route.fallback(),
        )

    page = visit(prepare=prepare)
    expect(page.locator("#trouble")).to_contain_text("still loading")
    page.clock.run_for(2000)
    expect(page.locator("#examples button")).to_have_count(3)
    expect(page.locator("#trouble")).to_be_empty()


def test_a_wrong_key_is_said(visit, models):
    with begun(f"roberta={models['roberta']}", "--api-key", "sesame") as locked:
        page = visit(locked.url)
        secret = page.get_by_label("requires a key")
        expect(secret).to_be_focused()
        expect(page.locator("#key-trouble")).to_be_empty()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(
            page.get_by_role("alert").filter(has_text="does not accept this key")
        ).to_be_visible()
        expect(secret).to_be_focused()
        assert page.locator("#secret[aria-invalid]").count() == 1
        page.keyboard.type(" sesame ")
        page.keyboard.press("Enter")
        expect(page.locator("#key")).to_be_hidden()
        page.locator("#text").fill("the ___")
        panels(page, 1)
        command = page.locator("#curl").text_content()
        assert '-H "Authorization: Bearer $MLMFAST_API_KEY"' in command
        assert "sesame" not in page.content()
        page.locator("summary").click()
        expect(page.get_by_text("MLMFAST_API_KEY holds your key")).to_be_visible()
