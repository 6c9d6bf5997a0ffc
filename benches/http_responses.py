"""HTTP responses, as far as a load generator reads them."""

from __future__ import annotations


def status_of(received: bytes) -> str | None:
    """Return the status of a response with a Content-Length; None as long as it is not whole."""
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return None
    headers = received[:head].lower()
    length = int(headers.partition(b"content-length:")[2].partition(b"\r")[0])
    return headers[9:12].decode() if len(received) >= head + 4 + length else None
