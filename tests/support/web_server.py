"""A web server on this machine, with byte ranges and without, behind a proxy that can cut."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cutting_proxy import CuttingProxy

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class Web:
    """The files of a server by their paths; `url` reaches it through the proxy."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.files: dict[str, bytes] = {}
        self.knows_ranges = True
        self.denied = False
        self.proxy = CuttingProxy(server.server_address[1])
        self.url = f"http://127.0.0.1:{self.proxy.port}"


@contextmanager
def web_server():
    """Run a server; yield its `Web`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.web = web = Web(server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield web
    web.proxy.close()
    server.shutdown()
    server.server_close()
    thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        web: Web = self.server.web
        content = web.files.get(self.path.partition("?")[0])
        if web.denied or content is None:
            self.send_response(403 if web.denied else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        part = _RANGE.fullmatch(self.headers.get("Range", "")) if web.knows_ranges else None
        self.send_response(206 if part else 200)
        if part:
            first, last = int(part[1]), min(int(part[2]), len(content) - 1)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hash(content)}"')
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass
