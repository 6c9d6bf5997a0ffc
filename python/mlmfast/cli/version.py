"""`mlmfast version`."""

from __future__ import annotations

import json

import click

from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.runtime.versions import installed_versions

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
    """Versions of mlmfast, Python and the packages it uses (null: not installed)."""
    versions = installed_versions(PACKAGES)
    if as_json:
        click.echo(json.dumps(versions))
        return
    for name, version in versions.items():
        click.echo(f"{name:16} {version or 'not installed'}")
