"""Programs of the tests that hold a cluster of Ray, each a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# A node has 15 seconds for its agents and 30 in all, which no option lengthens.
TRIES = 5
SETTINGS = {
    # Otherwise Ray runs its workers, the proxy and the replicas among them, at niceness 15: beside
    # other tests they get next to nothing of a busy machine.
    "RAY_worker_niceness": "0",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "300",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def environment() -> dict[str, str]:
    """The environment of Ray's programs: workers find this checkout, and the files beside."""
    return {
        **os.environ,
        **SETTINGS,
        "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(HERE)]),
    }


@contextmanager
def begun(script: str, *arguments: str, said: str, errors: Path):
    """Begin a script of this folder, and wait for its line that begins with `said`.

    Where it ends before, it is begun again; the last time, the test fails with what it wrote to
    standard error, a file.

    Yields:
        The process, and the words of the line after the first.
    """
    for _ in range(TRIES):
        with (
            errors.open("w") as file,
            subprocess.Popen(
                [sys.executable, str(HERE / script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env=environment(),
            ) as process,
        ):
            told = next((line for line in process.stdout if line.startswith(f"{said} ")), None)
            if told is not None:
                yield process, told.split()[1:]
                process.stdin.close()
                process.wait(timeout=120)
                return
    pytest.fail(f"{script} ended {TRIES} times; the last time it wrote:\n{errors.read_text()}")
