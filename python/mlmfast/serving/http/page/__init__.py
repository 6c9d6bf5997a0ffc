"""The page at `/`: words for the gaps of a text, and texts scored token by token.

It loads nothing from other sites, so that it works without internet. Its files, a few kilobytes
each, are kept in memory.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

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

    It calls the routes below `v1/` relative to its own address, so that it also works below a
    prefix that ends with a slash.
    """
    return [
        _route(
            "/" if name == "index.html" else f"/page/{name}",
            content,
            _TYPES[name.rpartition(".")[2]],
        )
        for name, content in _read(files(__name__).joinpath("files"))
    ]


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each file below a folder."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.read_bytes()


def _route(path: str, content: bytes, media_type: str) -> Route:
    tag = f'"{sha256(content).hexdigest()[:16]}"'
    headers = {**HEADERS, "ETag": tag}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match", "").removeprefix("W/") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return Route(path, answer, methods=["GET"], include_in_schema=False)
