"""An HTTP server that answers as it is told, once each, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer


class Scripted(ThreadingHTTPServer):
    """Answers come from `script`: (status, headers, body); None breaks the connection off."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list = []
        self.asked: list[tuple[str, dict, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def bodies(self) -> list:
        return [json.loads(body) for _, _, body in self.asked if body]


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        names = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, names, body))
        told = self.server.script.pop(0)
        self.close_connection = True
        if told is None:
            return
        status, headers, content = told
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        length = headers.pop("content-length", str(len(content)))
        for name, value in {"content-length": length, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def scripted():
    return running(Scripted())


@contextmanager
def running(server: HTTPServer):
    """Serve in a thread until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
