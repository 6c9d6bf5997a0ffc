"""The flag `--documents` of `train` and `evaluate`."""

from __future__ import annotations

import click

documents_option = click.option(
    "--documents",
    type=click.Choice(["separate", "joined"]),
    help="Keep attention inside each document, or let it cross documents.  [default: separate if "
    "the blocks say where documents begin and the model proves that it keeps them apart]",
)
