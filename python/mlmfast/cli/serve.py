"""`mlmfast serve`."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import click

from mlmfast.cli._model_folder import model_folder
from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.cli.flags.device import device_options
from mlmfast.errors import InputError, MissingDependencyError, NotFoundError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
KEY_VARIABLE = "MLMFAST_API_KEY"


@click.command(
    "serve",
    cls=ExampleCommand,
    example="""
    mlmfast serve onnx/ --port 8080
    mlmfast serve small=onnx-int8/ large=onnx/ --host 0.0.0.0 --api-key-file keys.txt
    curl http://127.0.0.1:8080/v1/fill-mask -d '{"inputs": "Paris is the <mask> of France."}'
    """,
)
@click.argument("models", metavar="MODEL | NAME=MODEL...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=8080, show_default=True, help="Port; 0: any free one.")
@device_options
@click.option(
    "--workers",
    type=int,
    default=1,
    show_default=True,
    help="Processes that share the port and divide the cores; each has its own copy of the models.",
)
@click.option(
    "--api-key",
    metavar="KEY",
    help=f"Key that requests must carry as a Bearer token.  [default: ${KEY_VARIABLE}]",
)
@click.option("--api-key-file", metavar="FILE", help="Keys that requests may carry, one per line.")
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Allow requests from pages of this origin, such as https://example.org; may be repeated.",
)
@click.option(
    "--max-delay-ms",
    type=float,
    default=2.0,
    show_default=True,
    help="Longest wait of a request for others to share its batch; a single request never waits.",
)
@click.option(
    "--max-queue",
    type=int,
    default=1024,
    show_default=True,
    help="Texts in hand, of each model and in each worker; more are refused with 429.",
)
@click.option(
    "--max-batch-tokens",
    type=int,
    help="Tokens of a batch, padding included.  [default: 512 on the CPU, 16384 on a GPU]",
)
@click.option("--max-texts", type=int, default=128, show_default=True, help="Texts of a request.")
@click.option(
    "--max-tokens", type=int, help="Tokens of a text.  [default: as many as the model takes]"
)
@click.option(
    "--max-rows",
    type=int,
    default=10_000,
    show_default=True,
    help="Rows of an answer: masks x top_k, over all texts of the request.",
)
@click.option(
    "--max-passes",
    type=int,
    default=1024,
    show_default=True,
    help="Passes of the model for the scores, fillings or whole targets of one request.",
)
@click.option(
    "--max-body-mb", type=float, default=2.0, show_default=True, help="Megabytes of a request."
)
@click.option(
    "--request-timeout",
    type=float,
    default=30.0,
    show_default=True,
    help="Seconds within which a request must be answered.",
)
@click.option(
    "--header-timeout",
    type=float,
    default=10.0,
    show_default=True,
    help="Seconds within which a request's headers must come.",
)
@click.option(
    "--body-timeout",
    type=float,
    default=30.0,
    show_default=True,
    help="Seconds within which its body must come.",
)
@click.option(
    "--drain-seconds",
    type=float,
    default=30.0,
    show_default=True,
    help="Seconds after a SIGTERM to answer the requests in hand.",
)
@click.option(
    "--log-format",
    type=click.Choice(["json", "text"]),
    default="json",
    show_default=True,
    help="Format of the log on standard error: a line for each request and each event.",
)
def command(models: tuple[str, ...], **options: Any) -> None:
    """Serve fill-mask with each MODEL over HTTP, until Ctrl-C or SIGTERM.

    MODEL is a folder that `mlmfast export` wrote; a checkpoint, as a folder or a name on the Hub,
    is exported once into ~/.cache/mlmfast/exports. Requests call it by NAME, by default the last
    part of MODEL; the first model answers those that name none.

    It speaks the protocols of huggingface_hub.InferenceClient and of tritonclient.http, and JSON on
    /v1/fill-mask: see /docs of the running server. SIGHUP reloads the models.
    """
    try:
        from mlmfast.serving.http.serve import serve
        from mlmfast.serving.http.settings import ModelSource, ServeSettings
    except ImportError as error:
        raise MissingDependencyError(
            f"mlmfast serve needs {error.name}, which is not installed: "
            "pip install 'mlmfast[serve,cpu]', or 'mlmfast[serve,gpu]' for an NVIDIA GPU."
        ) from error

    keys = _keys(options.pop("api_key"), options.pop("api_key_file"))
    named = [_named(model) for model in models]
    # Wrong options are reported before a checkpoint is exported.
    sources = tuple(ModelSource(name, Path(model)) for name, model in named)
    ServeSettings(sources, api_keys=keys, **options)
    # Not resolved: a link may point elsewhere when the models are reloaded.
    sources = tuple(
        ModelSource(name, model_folder(model, quiet=False).absolute()) for name, model in named
    )
    settings = ServeSettings(sources, api_keys=keys, **options)
    ended_by = serve(settings, on_bound=lambda url: click.echo(f"Serving on {url}", err=True))
    if ended_by == signal.SIGINT:
        raise KeyboardInterrupt("the requests in hand were answered.")


def _named(model: str) -> tuple[str, str]:
    """Split NAME=MODEL; the last part of a bare MODEL is its name."""
    name, equals, folder = model.partition("=")
    if not equals or not NAME.fullmatch(name) or Path(model).exists():
        folder = model
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model).absolute().name).strip("-.") or "model"
    if not folder:
        raise InputError(f"{model!r} names no model: give NAME=FOLDER.")
    return name, folder


def _keys(key: str | None, file: str | None) -> tuple[str, ...]:
    own = key or os.environ.get(KEY_VARIABLE, "")
    if own and not own.strip():
        raise InputError(f"The API key is blank: check --api-key and ${KEY_VARIABLE}.")
    keys = [own.strip()]
    if file:
        path = Path(file).expanduser()
        if not path.is_file():
            raise NotFoundError(f"There is no file of keys {file}.")
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        if not any(lines):
            raise InputError(f"The file of keys {file} is empty.")
        keys += lines
    return tuple(key for key in keys if key)
