"""The page at `/`, in Chromium, before the real server. Screenshots stay in .cache/page."""

from __future__ import annotations

import os
import re
import shutil
from urllib.parse import urlsplit

import pytest

from mlmfast.serving.fill_mask import FillMask
from places import ROOT
from serving import begun

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
expect.set_options(timeout=120_000)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PICTURES = ROOT / ".cache" / "page"
DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {
    "viewport": {"width": 390, "height": 780},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}


@pytest.fixture(scope="module")
def chromium():
    names = (os.environ.get("MLMFAST_CHROMIUM"), *map(shutil.which, BROWSERS))
    found = next(filter(None, names), None)
    if found is None:
        pytest.skip("Chromium is not installed: `make test-page` does that on Debian")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def models(tiny_model):
    return {"roberta": tiny_model("roberta").onnx, "bert": tiny_model("bert").onnx}


@pytest.fixture(scope="module")
def server(models):
    with begun(*(f"{name}={folder}" for name, folder in models.items()), "--threads", "1") as it:
        yield it.url


@pytest.fixture
def visit(chromium, server, request):
    """Open the page; afterwards, nothing but the server was asked and nothing was complained of."""
    contexts, foreign, said = [], [], []

    def open_page(url=server, prepare=None, **options):
        context = chromium.new_context(**{**DESKTOP, **options})
        contexts.append(context)
        context.set_default_timeout(20_000)
        home = urlsplit(url).netloc

        def route(asked):
            if urlsplit(asked.request.url).netloc == home:
                asked.continue_()
            else:
                foreign.append(asked.request.url)
                asked.abort()

        context.route("**/*", route)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda line: line.type == "error" and said.append(line.text))
        if prepare:
            prepare(page)
        page.goto(url)
        return page

    yield open_page
    for number, context in enumerate(contexts):
        PICTURES.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", request.node.name)
        context.pages[0].screenshot(path=PICTURES / f"{name}-{number}.png", full_page=True)
        context.close()
    assert foreign == []
    # A browser reports every answer that is not 200; the tests of errors ask for some.
    assert [line for line in said if "status of" not in line and "ERR_" not in line] == []


def type_text(page, text):
    page.locator("#text").press_sequentially(text)


def text_of(page):
    return page.locator("#text").input_value()


def panels(page, count):
    """The panels of the gaps, once there are `count` of them and none waits for an answer."""
    expect(page.locator("#answers:not([aria-busy]) section")).to_have_count(count)
    return page.locator("#answers section")


def words(page, gap=0):
    """The words of a gap and their shares."""
    rows = page.locator("#answers section").nth(gap).locator(".word")
    return [row.split("\n") for row in rows.all_inner_texts()]


def label(token):
    word = re.sub("^##", "…", token.strip())
    return word or ("(nothing)" if token == "" else re.sub("[^\n]", "␣", token).replace("\n", "↵"))


def test_the_bars_are_the_models_answer(visit, models):
    page = visit()
    type_text(page, "paris is the ___ of france.")
    assert text_of(page) == "paris is the <mask> of france."
    panels(page, 1)
    expected = FillMask(models["roberta"])("paris is the <mask> of france.", top_k=6)
    assert [word for word, _ in words(page)] == [label(row["token_str"]) for row in expected]
    for (_, share), row in zip(words(page), expected, strict=True):
        # The page shows two digits.
        assert float(share.removesuffix(" %")) == pytest.approx(100 * row["score"], rel=0.05)
    widths = [box["width"] for box in _bars(page)]
    assert widths == sorted(widths, reverse=True)
    assert re.fullmatch(
        r"\d+(\.\d)? ms, \d+(\.\d)? in the model", page.locator("#time").inner_text()
    )
    page.locator("#more").click()
    expect(page.locator(".word")).to_have_count(24)


def _bars(page):
    return page.evaluate(
        "[...document.querySelectorAll('.word')].map(word => "
        "({width: parseFloat(getComputedStyle(word, '::before').width)}))"
    )


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


def test_by_keyboard_alone(visit):
    page = visit()
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.type("the ")
    page.keyboard.press("Alt+m")
    page.keyboard.type(" way is a galaxy")
    page.keyboard.press("Shift+Control+ArrowLeft")
    page.keyboard.press("Alt+m")
    assert text_of(page) == "the <mask> way is a <mask>"
    panels(page, 2)
    order = []
    for _ in range(4):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert order == ["gap", "undo", "word", "word"]  # one stop a gap, whatever its words
    page.locator("#text").focus()
    page.keyboard.press("Control+End")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    second = words(page, 1)[1][0]
    assert page.evaluate("document.activeElement.querySelector('b').textContent") == second
    assert (
        page.locator("h2 mark").nth(1).inner_text() == second
    )  # shown in its place before it is chosen
    page.keyboard.press("Enter")
    panels(page, 1)
    assert text_of(page).startswith("the <mask> way is a")
    assert page.evaluate("document.activeElement.className") == "word"
    page.keyboard.press("Enter")
    panels(page, 0)
    assert "<mask>" not in text_of(page)
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert text_of(page) == "the <mask> way is a <mask>"


def test_another_model_has_its_own_mask(visit, models):
    page = visit()
    page.locator("#text").fill("<mask> is the ___ of [MASK]")
    assert text_of(page) == "<mask> is the <mask> of <mask>"
    panels(page, 3)
    page.get_by_label("Model").select_option("bert")
    assert text_of(page) == "[MASK] is the [MASK] of [MASK]"
    expected = FillMask(models["bert"])(text_of(page), top_k=6)
    first = [label(row["token_str"]) for row in expected[2]]
    expect(page.locator("#answers section").nth(2).locator("b")).to_have_text(first)
    assert "bert" in page.locator("footer").inner_text()


def test_on_a_phone(visit):
    page = visit(**PHONE)
    page.get_by_role("button", name="Paris is the").tap()
    panels(page, 1)
    page.locator("#gap").tap()
    panels(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["viewport"]["width"]
    low = page.evaluate(
        "[...document.querySelectorAll('button, select, summary')]"
        ".filter(one => one.offsetParent && one.offsetHeight < 44).map(one => one.outerHTML)"
    )
    assert low == []
    page.locator(".word").nth(2).tap()
    panels(page, 1)
    # The keyboard of a phone stays away while words are tapped.
    assert page.evaluate("document.activeElement.id") != "text"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(visit, scheme):
    page = visit(color_scheme=scheme)
    type_text(page, "the ___ way is ___")
    panels(page, 2)
    for place in ("#text", ".word b", ".word i", "h2", "h1", "#time", "label", "footer", "#gap"):
        ink, paper = page.locator(place).last.evaluate(COLOURS)
        assert _contrast(ink, paper) >= 4.5, place
    ink, paper = page.locator(".word b").first.evaluate(COLOURS)
    bar = page.locator(".word").first.evaluate(
        "one => getComputedStyle(one, '::before').backgroundColor"
    )
    assert _contrast(ink, bar) >= 4.5
    assert (_luminance(paper) < 0.1) == (scheme == "dark")


COLOURS = """one => {
  let behind = one;
  while (getComputedStyle(behind).backgroundColor.endsWith(", 0)")) behind = behind.parentElement;
  return [getComputedStyle(one).color, getComputedStyle(behind).backgroundColor];
}"""


def _luminance(colour):
    """By WCAG 2, from 0 to 1."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(one, other):
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_markup_of_a_text_stays_text(visit):
    page = visit()
    page.locator("#text").fill("<img src=x onerror=alert(1)> ___ <b>b</b>")
    panels(page, 1)
    assert "<img" in page.locator("h2").inner_text()
    assert page.locator("main img, main h2 b").count() == 0
    page.locator("summary").click()
    assert "it's" not in page.locator("pre").inner_text()
    page.locator("#text").fill("it's ___")
    expect(page.locator("pre")).to_contain_text(r"it'\''s")


def test_troubles_in_plain_words(visit):
    page = visit()
    page.clock.install()
    answers = [
        {"status": 429, "headers": {"Retry-After": "7"}, "body": '{"error": "full"}'},
        {"status": 503, "body": '{"error": "loading"}'},
    ]

    def answer(route):
        if answers:
            route.fulfill(content_type="application/json", **answers.pop(0))
        else:
            route.fallback()

    page.route("**/v1/fill-mask", answer)
    page.locator("#text").fill("the ___")
    page.clock.run_for(200)
    expect(page.get_by_role("alert")).to_contain_text("hands full")
    page.clock.run_for(7000)
    expect(page.get_by_role("alert")).to_contain_text("not ready")
    page.clock.run_for(2000)
    panels(page, 1)
    expect(page.get_by_role("alert")).to_be_empty()
    # What the server says of a text is said here as it is.
    page.locator("#text").fill("the ___ " + "way " * 100)
    page.clock.run_for(200)
    expect(page.get_by_role("alert")).to_contain_text("64")
    for left in ("Show more words", "The same from a shell"):
        expect(page.get_by_text(left)).to_be_hidden()


def test_a_server_that_went_away(visit):
    page = visit()
    page.clock.install()
    page.route("**/v1/fill-mask", lambda route: route.abort())
    page.locator("#text").fill("the ___")
    page.clock.run_for(200)
    expect(page.get_by_role("alert")).to_contain_text("be reached")
    page.unroute("**/v1/fill-mask")
    page.clock.run_for(3000)
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
    expect(page.get_by_role("alert")).to_contain_text("still loading")
    page.clock.run_for(1000)
    expect(page.locator("#examples button")).to_have_count(3)
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_server_with_a_key_asks_for_it(visit, models):
    with begun(f"roberta={models['roberta']}", "--api-key", "sesame") as locked:
        page = visit(locked.url)
        for key in ("wrong", "sesame"):
            expect(page.get_by_label("wants a key")).to_be_focused()
            page.keyboard.type(key)
            page.keyboard.press("Enter")
        expect(page.locator("#key")).to_be_hidden()
        page.locator("#text").fill("the ___")
        panels(page, 1)
