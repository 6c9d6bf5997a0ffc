"""The page at `/` in Chromium, before a real server. Screenshots stay in .cache/page."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from serve_page import DESKTOP, PICTURES, find_chromium
from serving import begun


# Of a module, not of the session: while it runs, no other test could have an event loop.
@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = find_chromium()
    if found is None:
        pytest.skip("Chromium is not installed: `make test-page` does that on Debian")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def models(tiny_model):
    return {"roberta": tiny_model("roberta").onnx, "bert": tiny_model("bert").onnx}


@pytest.fixture(scope="session")
def server(models):
    with begun(*(f"{name}={folder}" for name, folder in models.items()), "--threads", "1") as it:
        yield it.url


@pytest.fixture
def visit(chromium, server, request):
    """Open the page; afterwards, nothing but the server was asked and nothing was complained of."""
    contexts, foreign, said = [], [], []

    def open_page(url=server, prepare=None, is_connected=True, **options):
        context = chromium.new_context(**{**DESKTOP, **options})
        contexts.append(context)
        context.set_default_timeout(120_000)
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
        if is_connected:
            page.wait_for_selector("#status:not([data-state=connecting])")
        return page

    yield open_page
    for number, context in enumerate(contexts):
        name = re.sub(r"\W+", "-", request.node.name)
        context.pages[0].screenshot(path=PICTURES / f"{name}-{number}.png", full_page=True)
        context.close()
    assert foreign == []
    # A browser reports every answer that is not 200; the tests of errors ask for some.
    assert [line for line in said if "status of" not in line and "ERR_" not in line] == []
