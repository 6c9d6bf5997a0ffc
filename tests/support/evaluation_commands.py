"""The command with which an evaluation is repeated, as cards have it."""

from __future__ import annotations

import json
import shlex

from click.testing import CliRunner

from mlmfast.cli.evaluate import command


def command_of(evaluation, model):
    """Run the command of an evaluation for a model on the CPU; return what it prints as JSON."""
    words = shlex.split(evaluation.command.replace("MODEL", shlex.quote(str(model))))[2:]
    found = CliRunner().invoke(command, [*words, "--device", "cpu", "--quiet", "--json"])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)
