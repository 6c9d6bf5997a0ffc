"""One line a request and one an event, as JSON for programs or as text for people."""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from mlmfast.serving.http.service import Record

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
        told = "".join(f" {key}={value}" for key, value in fields.items() if value is not None)
        line = f"{at} {record.levelname.lower():7} {record.getMessage()}{told}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def begin_log(kind: str) -> None:
    """Write the log of the server, of the library and of uvicorn to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if kind == "json" else TextLines())
    for name, level in (
        ("mlmfast", logging.INFO),
        ("uvicorn", logging.WARNING),
        # Each request could make it write a line a target.
        ("mlmfast.serving.vocabulary", logging.ERROR),
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
