"""The page at /docs: the OpenAPI document as plain HTML, which loads nothing from other sites."""

from __future__ import annotations

import json
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mlmfast.serving.http.protocols.api_docs.openapi import openapi_document

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlmfast.serving.http.service import Service

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1b1b; background: #fff }
pre { background: #f3f3f3; padding: .75rem; overflow-x: auto; border-radius: 6px; font-size: 14px }
h2 code { font-size: 1.1rem } h2 .method { color: #0a6; text-transform: uppercase }
table { border-collapse: collapse } td, th { text-align: left; padding: .15rem .75rem .15rem 0;
       vertical-align: top }
summary { cursor: pointer } .sub { color: #666 }
@media (prefers-color-scheme: dark) {
  body { color: #e6e6e6; background: #161616 } pre { background: #242424 } .sub { color: #aaa }
  a { color: #8bf }
}
"""
_SECURITY = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}


def routes(service: Service) -> list[Route]:
    """Return the routes of /docs and /openapi.json, both rendered once for the loaded models."""
    from importlib.metadata import version

    @lru_cache(maxsize=2)
    def rendered(masks: tuple[str, ...]) -> tuple[bytes, str]:
        document = openapi_document(version("mlmfast"), service.settings, masks)
        return orjson.dumps(document), page_of(document)

    def masks() -> tuple[str, ...]:
        return tuple(model.model.tokenizer.mask_token for model in service.models if model.ready)

    async def openapi(_request: Request) -> Response:
        return Response(rendered(masks())[0], media_type="application/json")

    async def docs(_request: Request) -> Response:
        return HTMLResponse(rendered(masks())[1], headers=_SECURITY)

    return [
        Route("/openapi.json", openapi, methods=["GET"]),
        Route("/docs", docs, methods=["GET"]),
    ]


def page_of(document: dict[str, Any]) -> str:
    """Render an OpenAPI document as one HTML page."""
    title = escape(document["info"]["title"])
    operations = "".join(
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    )
    schemas = "".join(
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code> "
        f"<span class=sub>{escape(schema.get('description', '').partition(chr(10))[0])}</span>"
        f"</summary><pre>{_pretty(schema)}</pre></details>"
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title} "
        f"{escape(document['info']['version'])}</h1><p>{escape(document['info']['description'])} "
        "For programs: <a href='openapi.json'>openapi.json</a>.</p>"
        f"{operations}<h2>Schemas</h2>{schemas}</body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    body = ""
    if content:
        name = content["schema"]["$ref"].rpartition("/")[2]
        key = " -H 'Authorization: Bearer KEY'" if "security" in operation else ""
        sent = json.dumps(content["example"], ensure_ascii=False)
        kind = "-H 'Content-Type: application/json'"
        command = f"curl http://HOST:PORT{path}{key} {kind} \\\n  -d '{sent}'"
        body = f"<p>Body: <a href='#{name}'>{name}</a></p><pre>{escape(command)}</pre>"
    rows = "".join(
        f"<tr><td>{status}<td>{escape(answer['description'])}"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<h2><span class=method>{method}</span> <code>{escape(path)}</code></h2>"
        f"<p>{escape(operation['summary'])}.</p>{body}"
        f"<details><summary>Statuses</summary><table>{rows}</table></details>"
    )


def _pretty(value: Any) -> str:
    return escape(json.dumps(value, indent=2, ensure_ascii=False))
