"""The files of the page as a client gets them, without a browser."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.applications import Starlette

from mlmfast.serving.http import page

ROUTES = page.routes(None)


def get(path, **headers):
    import asyncio

    async def ask():
        transport = httpx.ASGITransport(Starlette(routes=ROUTES))
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize("path", [route.path for route in ROUTES])
def test_a_file_is_strict_and_can_be_revalidated(path):
    answer = get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-cache"
    again = get(path, **{"If-None-Match": f"W/{answer.headers['etag']}"})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]
    # Nothing is inline, and nothing comes from elsewhere.
    foreign = re.findall(r"https?://(?!www\.w3\.org/2000/svg)\S+", answer.text)
    assert foreign == []
    assert not re.search(r"<style|style=|<script>|\son\w+=", answer.text)


def test_everything_that_the_page_loads_is_there():
    paths = {route.path for route in ROUTES}
    wanted = set(re.findall(r'(?:href|src)="(page/[^"]+)"', get("/").text))
    wanted |= {
        f"page/scripts/{name}"
        for path in paths
        if path.endswith(".js")
        for name in re.findall(r'from "\./([^"]+)"', get(path).text)
    }
    assert {f"/{path}" for path in wanted} == paths - {"/"}
