"""The page at `/`: a sentence with gaps, and the words that a model fills in.

It loads nothing from other sites, so that it works without internet. Its files, a few kilobytes,
are kept in memory.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlmfast.serving.http.service import Service

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
# Only this server's own files, and not in the frame of another site.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Clients revalidate each time, with a response 304, so that a new version shows at once.
    "Cache-Control": "no-cache",
}


def routes(_service: Service) -> list[Route]:
    """Return the routes of the page: `/` itself, and `/page/...` for what it loads.

    It calls `v1/models` and `v1/fill-mask` relative to its own address, so that it also works below
    a prefix that ends with a slash.
    """
    page = []
    for file in files(__name__).joinpath("files").iterdir():
        path = "/" if file.name == "index.html" else f"/page/{file.name}"
        page.append(_route(path, file.read_bytes(), _TYPES[file.name.rpartition(".")[2]]))
    return page


def _route(path: str, content: bytes, media_type: str) -> Route:
    tag = f'"{sha256(content).hexdigest()[:16]}"'
    headers = {**HEADERS, "ETag": tag}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match", "").removeprefix("W/") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return Route(path, answer, methods=["GET"], include_in_schema=False)
