"""`mlmfast version`."""

from __future__ import annotations

import importlib.metadata
import json
import platform

import click

from mlmfast.cli._command import ExampleCommand

PACKAGES = (
    "mlmfast",
    "numpy",
    "pyarrow",
    "tokenizers",
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "optimum",
    "optimum-onnx",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
)


@click.command("version", cls=ExampleCommand, example="mlmfast version --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Versions of mlmfast, Python and the packages it stands on (null: not installed)."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, version in found.items():
        click.echo(f"{name:16} {version or 'not installed'}")
