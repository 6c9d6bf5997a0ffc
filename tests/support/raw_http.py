"""HTTP written and read as bytes, for what no client would send or wait for."""

from __future__ import annotations

import socket

CLOSING = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n"


def closing_request(body: bytes, headers: bytes = b"") -> bytes:
    """A request after whose answer the server closes the connection."""
    return CLOSING % len(body) + headers + b"\r\n" + body


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found
