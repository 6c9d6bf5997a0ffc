"""The server's log: a line for each request and each event, as JSON or as text."""

from __future__ import annotations

import atexit
import json
import logging
import re
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import orjson

if TYPE_CHECKING:
    from mlmfast.serving.http.record import Record

# Lines are collected for so long and written together.
_WRITE_SECONDS = 0.05
_MAX_LINES = 10_000

# The value of a field that needs no quotes in a line of text.
_PLAIN = re.compile(r"[!#-<>-~]+")
# JSON allows these in strings, but some readers of lines end a line or begin a command at them.
_JSON_ESCAPES = {
    code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *range(0x200B, 0x2070), 0xFEFF)
}

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
        try:
            text = orjson.dumps(line, default=str).decode()
        except TypeError:  # a lone surrogate, which is no UTF-8
            text = json.dumps(line, default=str)
        return text.translate(_JSON_ESCAPES)


class TextLines(logging.Formatter):
    """Every record as a line to read, which nothing in a request can end or imitate.

    Values with other than plain characters are quoted as in JSON. The lines of an exception are
    indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = getattr(record, "fields", {})
        shown = "".join(
            f" {key}={_quoted(value)}" for key, value in fields.items() if value is not None
        )
        lines = [f"{at} {record.levelname.lower():7} {_escaped(record.getMessage())}{shown}"]
        if record.exc_info:
            exception = self.formatException(record.exc_info)
            lines += [f"    {_escaped(line)}" for line in exception.split("\n")]
        return "\n".join(lines)


def _quoted(value: Any) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text).replace("\x7f", "\\u007f")


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


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
                lines.append(self.format(_dropped_record(dropped)))
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()

    def _write(self) -> None:
        while self._has_lines.wait():
            time.sleep(_WRITE_SECONDS)
            self._has_lines.clear()
            self.flush()


def _dropped_record(lines: int) -> logging.LogRecord:
    message = "%d lines of the log were dropped"
    return logging.LogRecord(access.name, logging.WARNING, __file__, 0, message, (lines,), None)


def configure_logging(kind: str) -> None:
    """Write the log of the server, and the warnings of everything else, to standard error."""
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
    # Others, such as asyncio where it can accept no connection, would write lines of their own.
    logging.getLogger().handlers = [handler]
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_thread_failure


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is not None and failure.exc_type is not SystemExit:
        logging.getLogger("mlmfast.serve").error("A thread failed", exc_info=failure.exc_value)


def log_request(
    record: Record,
    *,
    method: str | None,
    path: str | None,
    status: int,
    seconds: float,
    client: str | None,
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
    if record.key:
        fields["key"] = record.key.name
    if record.traceparent:
        fields["trace_id"] = record.traceparent.split("-")[1]
    if record.model:
        fields |= {"model": record.model, "texts": record.texts, "tokens": record.tokens}
        fields |= {
            "queue_ms": round(record.queue_seconds * 1e3, 3),
            "run_ms": round(record.run_seconds * 1e3, 3),
        }
    if record.priority != "normal":
        fields["priority"] = record.priority
    if record.reason:
        fields["reason"] = record.reason
    access.info("request", extra={"fields": fields})
