"""The settings of `mlmfast serve`, and their checks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from mlmfast.errors import InputError

# Allowed values, both ends included.
_BOUNDS: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "workers": (1, 512),
    "max_delay_ms": (0, 1000),
    "max_queue": (1, 1_000_000),
    "max_texts": (1, 100_000),
    "max_tokens": (1, 1_000_000),
    "max_batch_tokens": (1, 1_000_000),
    "max_rows": (1, 10_000_000),
    "max_passes": (1, 10_000_000),
    "max_body_mb": (0.001, 1024),
    "request_timeout": (0.01, 3600),
    "header_timeout": (0.01, 3600),
    "body_timeout": (0.01, 3600),
    "drain_seconds": (0, 3600),
    "threads": (1, 4096),
}


@dataclass(frozen=True)
class ModelSource:
    """A model to serve: its name in requests, and its ONNX folder."""

    name: str
    folder: Path


@dataclass(frozen=True)
class ServeSettings:
    """The settings of a server.

    Attributes:
        models: the models; the first one answers requests that name none.
        host: address to listen on.
        port: port to listen on; 0: any free one.
        device: "auto", "cpu" or "cuda".
        batching: "shared" or "independent", as for `FillMask`.
        threads: cores for the models, all workers together; None: all that the process may use.
        workers: processes, each with its own copy of the models.
        api_keys: keys that requests may carry; empty: requests need no key.
        cors_origins: origins whose pages may call the server; empty: only the server's own.
        max_delay_ms: milliseconds that a request waits for others to share its batch.
        max_queue: texts in hand, of each model and in each worker.
        max_batch_tokens: tokens of a batch, padding included; None: the engine chooses.
        max_texts: texts of one request.
        max_tokens: tokens of one text; None: as many as the model takes.
        max_rows: rows of one answer: masks x top_k, over all texts of the request.
        max_passes: passes of the model for one request's scores, fillings or whole targets.
        max_body_mb: megabytes (2**20 bytes) of one request, decompressed.
        request_timeout: seconds within which a request must be answered.
        header_timeout: seconds within which a request's headers must come.
        body_timeout: seconds within which its body must come.
        drain_seconds: seconds after a SIGTERM to answer the requests in hand.
        log_format: "json" or "text".
    """

    models: tuple[ModelSource, ...]
    host: str = "127.0.0.1"
    port: int = 8080
    device: str = "auto"
    batching: str = "shared"
    threads: int | None = None
    workers: int = 1
    api_keys: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_delay_ms: float = 2.0
    max_queue: int = 1024
    max_batch_tokens: int | None = None
    max_texts: int = 128
    max_tokens: int | None = None
    max_rows: int = 10_000
    max_passes: int = 1024
    max_body_mb: float = 2.0
    request_timeout: float = 30.0
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    drain_seconds: float = 30.0
    log_format: str = "json"

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("At least one model must be served.")
        names = [model.name for model in self.models]
        duplicates = {name for name in names if names.count(name) > 1}
        if duplicates:
            raise InputError(f"Two models are called {min(duplicates)!r}: give them names.")
        for field in fields(self):
            low_high = _BOUNDS.get(field.name)
            value = getattr(self, field.name)
            if low_high and value is not None and not low_high[0] <= value <= low_high[1]:
                raise InputError(
                    f"{field.name} must lie between {low_high[0]:g} and {low_high[1]:g}, and is "
                    f"{value:g}."
                )
        if self.max_texts > self.max_queue:
            raise InputError(
                f"max_texts is {self.max_texts} and max_queue {self.max_queue}: a full request "
                "must find room in the queue."
            )
        if any(not key or not key.isascii() for key in self.api_keys):
            raise InputError("An API key must be ASCII text, and not empty.")

    @property
    def max_body(self) -> int:
        """Bytes of one request's body."""
        return int(self.max_body_mb * 2**20)
