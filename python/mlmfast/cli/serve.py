"""`mlmfast serve`."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import click

from mlmfast.cli._model_folder import model_folder
from mlmfast.cli.flags.configured import ConfiguredCommand
from mlmfast.cli.flags.device import device_options
from mlmfast.cli.flags.from_options import option_flags
from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.serving.http.settings import ModelSource, ServeSettings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
KEY_VARIABLE = "MLMFAST_API_KEY"


@click.command(
    "serve",
    cls=ConfiguredCommand,
    prefix="MLMFAST_SERVE",
    example="""
    mlmfast serve onnx/ --port 8080
    mlmfast serve small=onnx-int8/ large=onnx/ --host 0.0.0.0 --api-key-file keys.txt
    mlmfast serve --config serve.yaml
    curl http://127.0.0.1:8080/v1/fill-mask -d '{"inputs": "Paris is the <mask> of France."}'
    """,
)
@click.argument("models", metavar="MODEL | NAME=MODEL...", nargs=-1, required=True)
@device_options
@click.option(
    "--api-key",
    metavar="KEY",
    envvar=KEY_VARIABLE,
    help=f"Key that requests must carry as a Bearer token.  [default: ${KEY_VARIABLE}]",
)
@click.option(
    "--api-key-file",
    metavar="FILE",
    help="Keys that requests may carry, one per line: KEY, or NAME KEY and limits.",
)
@option_flags(ServeSettings)
def command(models: tuple[str, ...], **options: Any) -> None:
    """Serve fill-mask with each MODEL over HTTP, until Ctrl-C or SIGTERM.

    MODEL is a folder that `mlmfast export` wrote; a checkpoint, as a folder or a name on the Hub,
    is exported once into ~/.cache/mlmfast/exports. Requests call it by NAME, by default the last
    part of MODEL; the first model answers those that name none.

    It speaks the protocols of huggingface_hub.InferenceClient and of tritonclient.http, and JSON on
    /v1/fill-mask: see /docs of the running server. SIGHUP reloads the models.

    Options are also read from variables (MLMFAST_SERVE_PORT=8080) and from a file: --config.
    """
    try:
        from mlmfast.serving.http.process.serve import serve
    except ImportError as error:
        raise MissingDependencyError(
            f"mlmfast serve needs {error.name}, which is not installed: "
            "pip install 'mlmfast[serve,cpu]', or 'mlmfast[serve,gpu]' for an NVIDIA GPU."
        ) from error

    options |= _keys(options.pop("api_key"), options.pop("api_key_file"))
    named = [_named(model) for model in models]
    # Wrong options are reported before a checkpoint is exported.
    sources = tuple(ModelSource(name, Path(model)) for name, model in named)
    ServeSettings(sources, **options)
    # Not resolved: a link may point elsewhere when the models are reloaded.
    sources = tuple(
        ModelSource(name, model_folder(model, quiet=False).absolute()) for name, model in named
    )
    settings = ServeSettings(sources, **options)
    ended_by = serve(settings, on_bound=_tell)
    if ended_by == signal.SIGINT:
        raise KeyboardInterrupt("the requests in hand were answered.")


def _tell(url: str, admin_url: str | None) -> None:
    click.echo(f"Serving on {url}", err=True)
    if admin_url:
        click.echo(f"Health and metrics on {admin_url}", err=True)


def _named(model: str) -> tuple[str, str]:
    """Split NAME=MODEL; the last part of a bare MODEL is its name."""
    name, equals, folder = model.partition("=")
    if not equals or not NAME.fullmatch(name) or Path(model).exists():
        folder = model
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model).absolute().name).strip("-.") or "model"
    if not folder:
        raise InputError(f"{model!r} names no model: give NAME=FOLDER.")
    return name, folder


def _keys(key: str | None, file: str | None) -> dict[str, Any]:
    """Return the settings of keys, of which a file must be one that can be used."""
    from mlmfast.serving.http.keys import read_key_file

    own = key or ""
    if own and not own.strip():
        raise InputError(f"The API key is blank: check --api-key and ${KEY_VARIABLE}.")
    path = Path(file).expanduser().absolute() if file else None
    if path:
        read_key_file(path)
    return {"api_keys": (own.strip(),) if own else (), "api_key_file": path}
