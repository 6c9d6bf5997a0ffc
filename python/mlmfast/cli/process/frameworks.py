"""Commands that open tokenizers, and no models, leave out the frameworks of models."""

from __future__ import annotations

import os

import click

# The object of click's context where the process ends with the command.
OWN_PROCESS = object()

# Variables of transformers: what it shall not import, and that it shall not remark upon it.
_VARIABLES = {
    "USE_TORCH": "0",
    "USE_TF": "0",
    "USE_FLAX": "0",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


def leave_out_frameworks() -> None:
    """Let transformers open tokenizers without torch, which takes longer to import than they do.

    What the environment says already remains. In a program that goes on after the command nothing
    changes: transformers decides once for a whole process.
    """
    if click.get_current_context().find_root().obj is OWN_PROCESS:
        for name, value in _VARIABLES.items():
            os.environ.setdefault(name, value)
