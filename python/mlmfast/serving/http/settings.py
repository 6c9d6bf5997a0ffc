"""The settings of `mlmfast serve`, from which its flags are made, and their checks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.options import check_options, option

# Of all workers together.
_MAX_THREADS = 4096
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


@dataclass(frozen=True)
class ModelSource:
    """A model to serve: its name in requests, and its ONNX folder."""

    name: str
    folder: Path


@dataclass(frozen=True)
class ServeSettings:
    """The settings of a server.

    The help of a field is that of its flag. A field that is not declared by `option` has no flag
    of its own name.

    Attributes:
        models: the models; the first one answers requests that name none.
        device: "auto", "cpu", "cuda", "openvino" or "tensorrt-rtx".
        batching: "shared" or "independent", as for `FillMask`.
        threads: cores for the models, all workers together; None: all that the process may use.
        api_keys: keys that requests may carry.
        api_key_file: a file of further keys, see `keys.read_key_file`; without it and without
            `api_keys`, requests need no key.
    """

    models: tuple[ModelSource, ...]
    device: str = "auto"
    batching: str = "shared"
    threads: int | None = None
    api_keys: tuple[str, ...] = ()
    api_key_file: Path | None = None

    host: str = option("Address to listen on.", "127.0.0.1")
    port: int = option("Port; 0: any free one.", 8080, bounds=(0, 65535))
    uds: str | None = option(
        "Unix socket to listen on, in place of --host and --port.", metavar="PATH"
    )
    admin_port: int | None = option(
        "Port for health and metrics, with a thread of its own; they stay on the other port too.",
        bounds=(0, 65535),
        metavar="PORT",
    )
    max_connections: int = option(
        "Connections of each worker; idle ones are closed for new ones, and more get 503.",
        4096,
        bounds=(1, 1_000_000),
    )
    grpc_port: int | None = option(
        "Port for the Open Inference Protocol over gRPC; 0: any free one.  [default: none]",
        bounds=(0, 65535),
    )
    workers: int = option(
        "Processes that share the port and divide the cores; each has its own copy of the models.",
        1,
        bounds=(1, 512),
    )
    worker_timeout: float = option(
        "Seconds without a sign of life after which one of several workers is replaced.",
        30.0,
        bounds=(1, 3600),
    )
    cors_origins: tuple[str, ...] = option(
        "Allow requests from pages of this origin, such as https://example.org; may be repeated.",
        (),
        flag="--cors-origin",
        metavar="ORIGIN",
    )
    allowed_hosts: tuple[str, ...] = option(
        "Answer only requests to this host, as example.org or *.example.org; may be repeated.  "
        "[default: any]",
        (),
        flag="--allowed-host",
        metavar="NAME",
    )
    spinning: str = option(
        "Whether the cores of a model wait for each other by spinning: fastest where no other "
        "process needs them. auto: if no quota applies and the machine is idle at the start.",
        "auto",
        choices=("auto", "on", "off"),
    )
    cuda_graphs: bool = option(
        "On an NVIDIA GPU, replay captured kernels for small batches; needs folders of mlmfast "
        "export --cuda-graphs.",
        False,
    )
    max_delay_ms: float = option(
        "Longest wait of a request for others to share its batch; a single request never waits.",
        2.0,
        bounds=(0, 1000),
    )
    max_queue: int = option(
        "Texts in hand, of each model and in each worker; more are refused with 429.",
        1024,
        bounds=(1, 1_000_000),
    )
    max_batch_tokens: int | None = option(
        "Tokens of a batch, padding included.  [default: 512 on the CPU, 16384 on a GPU]",
        bounds=(1, 1_000_000),
    )
    max_texts: int = option("Texts of a request.", 128, bounds=(1, 100_000))
    max_tokens: int | None = option(
        "Tokens of a text.  [default: as many as the model takes]", bounds=(1, 1_000_000)
    )
    max_rows: int = option(
        "Rows of an answer: masks x top_k, over all texts of the request.",
        10_000,
        bounds=(1, 10_000_000),
    )
    max_passes: int = option(
        "Passes of the model for the scores, fillings or whole targets of one request.",
        1024,
        bounds=(1, 10_000_000),
    )
    max_body_mb: float = option(
        "Megabytes (2**20 bytes) of a request, decompressed.", 2.0, bounds=(0.001, 1024)
    )
    max_bodies_mb: float = option(
        "Megabytes of the bodies of all requests in progress; more are refused with 429.",
        256.0,
        bounds=(0.001, 1 << 20),
    )
    max_characters: int = option(
        "Characters of a text, before it is tokenized or cut.", 100_000, bounds=(1, 100_000_000)
    )
    max_answer_mb: float = option(
        "Megabytes of an answer, uncompressed.", 16.0, bounds=(0.001, 1024)
    )
    max_answers_mb: float = option(
        "Megabytes of all large answers that clients have yet to read; more are refused with 503.",
        256.0,
        bounds=(0.001, 1 << 20),
    )
    request_timeout: float = option(
        "Seconds within which a request must be answered.", 30.0, bounds=(0.01, 3600)
    )
    header_timeout: float = option(
        "Seconds within which a request's headers must come.", 10.0, bounds=(0.01, 3600)
    )
    body_timeout: float = option(
        "Seconds within which its body must come.", 30.0, bounds=(0.01, 3600)
    )
    drain_seconds: float = option(
        "Seconds after a SIGTERM to answer the requests in hand.", 30.0, bounds=(0, 3600)
    )
    traces: bool = option(
        "Send a trace of each request to OpenTelemetry, as the variables OTEL_* say.", False
    )
    log_format: str = option(
        "Format of the log on standard error: a line for each request and each event.",
        "json",
        choices=("json", "text"),
    )

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("At least one model must be served.")
        names = [model.name for model in self.models]
        duplicates = {name for name in names if names.count(name) > 1}
        if duplicates:
            raise InputError(f"Two models are called {min(duplicates)!r}: give them names.")
        check_options(self)
        if self.threads is not None and not 1 <= self.threads <= _MAX_THREADS:
            raise InputError(
                f"threads must lie between 1 and {_MAX_THREADS}, and is {self.threads:g}."
            )
        self._check_extras()
        if self.max_texts > self.max_queue:
            raise InputError(
                f"max_texts is {self.max_texts} and max_queue {self.max_queue}: a full request "
                "must find room in the queue."
            )
        for one, total in (("max_body_mb", "max_bodies_mb"), ("max_answer_mb", "max_answers_mb")):
            if getattr(self, one) > getattr(self, total):
                raise InputError(
                    f"{one} is {getattr(self, one):g} and {total} {getattr(self, total):g}: the "
                    "largest must find room among all."
                )
        for host in self.allowed_hosts:
            if not _HOST.fullmatch(host):
                raise InputError(
                    f"The allowed host {host!r} must be a name such as example.org or "
                    "*.example.org, or an address, without scheme and port."
                )
        if any(not key or not key.isascii() for key in self.api_keys):
            raise InputError("An API key must be ASCII text, and not empty.")

    @property
    def needs_key(self) -> bool:
        """Whether requests need a key."""
        return bool(self.api_keys or self.api_key_file)

    def _check_extras(self) -> None:
        """Check the options that need packages of their own."""
        if self.grpc_port is not None:
            _require(("grpc", "grpc_health"), "--grpc-port", "grpc")
        if self.traces:
            _require(("opentelemetry", "opentelemetry.sdk"), "--traces", "otel")
        if self.grpc_port == 0 and self.workers > 1:
            raise InputError("Several workers share one grpc_port: choose a number above 0.")

    @property
    def max_body(self) -> int:
        """Bytes of one request's body."""
        return int(self.max_body_mb * 2**20)

    @property
    def max_bodies(self) -> int:
        """Bytes of the bodies of all requests."""
        return int(self.max_bodies_mb * 2**20)

    @property
    def max_answer(self) -> int:
        """Bytes of one answer."""
        return int(self.max_answer_mb * 2**20)

    @property
    def max_answers(self) -> int:
        """Bytes of all answers that wait to be read."""
        return int(self.max_answers_mb * 2**20)


def _require(packages: tuple[str, ...], flag: str, extra: str) -> None:
    for name in packages:
        if find_spec(name) is None:
            raise MissingDependencyError(
                f"{flag} needs {name}, which is not installed: pip install 'mlmfast[{extra}]'."
            )
