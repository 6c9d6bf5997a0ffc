"""Calls in child processes, which may fail, crash or hang without harm to this one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

_MARK = "mlmfast-doctor:"

_PROGRAM = f"""
import importlib, json, sys
module, _, function = sys.argv[1].partition(":")
try:
    answer = {{"value": getattr(importlib.import_module(module), function)(*sys.argv[2:])}}
except (Exception, SystemExit) as error:
    answer = {{"error": type(error).__name__ + ": " + str(error)}}
print("\\n{_MARK}" + json.dumps(answer), flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a call in another process.

    Attributes:
        value: what it returned.
        error: why there is no value; None where there is one.
        log: what the process wrote to its standard error.
        seconds: from its start to its end.
    """

    value: Any = None
    error: str | None = None
    log: str = ""
    seconds: float = 0.0


def call(function: str, *arguments: str, limit: float) -> Outcome:
    """Call `function` in a new Python.

    Args:
        function: `module:name`; what it returns must be fit for JSON.
        arguments: what it is called with.
        limit: seconds after which it is stopped.
    """
    # -P: a file `torch.py` in the current folder must not be imported as torch.
    command = [sys.executable, "-P", "-c", _PROGRAM, function, *arguments]
    began = time.monotonic()
    # Files instead of pipes: a process that the child has started could hold a pipe open for ever.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            status = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=limit,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return Outcome(error=f"no answer within {limit:g} s", log=_read(err), seconds=limit)
        seconds = time.monotonic() - began
        return _outcome(_read(out), _read(err), status, seconds)


def _outcome(out: str, log: str, status: int, seconds: float) -> Outcome:
    answers = [line for line in out.splitlines() if line.startswith(_MARK)]
    if not answers:
        return Outcome(error=_death(status, log), log=log, seconds=seconds)
    answer = json.loads(answers[-1].removeprefix(_MARK))
    return Outcome(value=answer.get("value"), error=answer.get("error"), log=log, seconds=seconds)


def _death(status: int, log: str) -> str:
    if status < 0:
        try:
            how = f"the process died of {signal.Signals(-status).name}"
        except ValueError:
            how = f"the process died of signal {-status}"
    else:
        how = f"the process ended with status {status}"
    last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
    return f"{how} ({last.strip()})" if last else how


def _read(file: Any) -> str:
    file.seek(0)
    return file.read().decode("utf-8", errors="replace")
