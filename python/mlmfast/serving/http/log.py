"""The server's log: a line for each request and each event, as JSON or as text."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import orjson

if TYPE_CHECKING:
    from mlmfast.serving.http.service import Record

# Lines are collected for so long and written together.
_WRITE_SECONDS = 0.05
_MAX_LINES = 10_000

access = logging.getLogger("mlmfast.serve.requests")


class JsonLines(logging.Formatter):
    """Every record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextLines(logging.Formatter):
    """Every record as a line to read."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = getattr(record, "fields", {})
        shown = "".join(f" {key}={value}" for key, value in fields.items() if value is not None)
        line = f"{at} {record.levelname.lower():7} {record.getMessage()}{shown}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Lines(logging.Handler):
    """Writes lines from a thread of its own, so that a slow reader of the log slows no request.

    When `_MAX_LINES` wait to be written, further lines are dropped and counted.
    """

    def __init__(self, stream: TextIO):
        super().__init__()
        self._stream = stream
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._has_lines = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._write, name="mlmfast-log", daemon=True).start()
        atexit.register(self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) >= _MAX_LINES:
            self._dropped += 1
            return
        self._lines.append(self.format(record))
        if not self._has_lines.is_set():
            self._has_lines.set()

    def flush(self) -> None:
        with self._writing:
            dropped, self._dropped = self._dropped, 0
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if dropped:
                lines.append(f"{dropped} lines of the log were dropped")
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()

    def _write(self) -> None:
        while self._has_lines.wait():
            time.sleep(_WRITE_SECONDS)
            self._has_lines.clear()
            self.flush()


def configure_logging(kind: str) -> None:
    """Write the log of the server, of the library and of uvicorn to standard error."""
    handler = Lines(sys.stderr)
    handler.setFormatter(JsonLines() if kind == "json" else TextLines())
    for name, level in (
        ("mlmfast", logging.INFO),
        ("uvicorn", logging.WARNING),
        # It may warn of every target of every request.
        ("mlmfast.serving.text.tokenizer", logging.ERROR),
    ):
        logger = logging.getLogger(name)
        logger.setLevel(level)
    for name in ("mlmfast", "uvicorn"):
        logging.getLogger(name).handlers = [handler]
        logging.getLogger(name).propagate = False


def log_request(
    record: Record, *, method: str, path: str, status: int, seconds: float, client: str | None
) -> None:
    """Write the line of one request."""
    if not access.isEnabledFor(logging.INFO):
        return
    fields: dict[str, Any] = {
        "request_id": record.request_id,
        "method": method,
        "path": path,
        "status": status,
        "ms": round(seconds * 1e3, 3),
        "client": client,
    }
    if record.traceparent:
        fields["trace_id"] = record.traceparent.split("-")[1]
    if record.model:
        fields |= {"model": record.model, "texts": record.texts, "tokens": record.tokens}
        fields |= {
            "queue_ms": round(record.queue_seconds * 1e3, 3),
            "run_ms": round(record.run_seconds * 1e3, 3),
        }
    if record.reason:
        fields["reason"] = record.reason
    access.info("request", extra={"fields": fields})
