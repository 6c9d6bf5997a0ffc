"""Programs of the tests that work with Ray, each a process of its own.

Ray's C++ side ends the process in which it meets a fault, and a process that held a cluster some
time after the cluster: none of it runs in a process of pytest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from places import SUPPORT

# A node has 15 seconds for its agents and 30 in all, which no option lengthens.
TRIES = 5
SETTINGS = {
    # Otherwise Ray runs its workers, the proxy and the replicas among them, at niceness 15: beside
    # other tests they get next to nothing of a busy machine.
    "RAY_worker_niceness": "0",
    # A worker that dies before it is registered is missed only after this, and begun again: tests
    # have patience for three.
    "RAY_worker_register_timeout_seconds": "100",
    # Otherwise Ray kills workers where the machine's memory is nearly full, whoever fills it.
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "300",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def environment(**more: str) -> dict[str, str]:
    """The environment of Ray's programs: workers find this checkout, and the files beside.

    Nothing that the caller has set for a Ray of theirs is in it.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = os.pathsep.join([*filter(None, sys.path), str(SUPPORT)])
    return {**own, **SETTINGS, "PYTHONPATH": path, **more}


@contextmanager
def begun(script: str, *arguments: str, said: str, errors: Path):
    """Begin a script of this folder, and wait for its line that begins with `said`.

    Where it ends before, it is begun again; the last time, the test fails with what it wrote to
    standard error, a file. Each try has a folder of its own for Ray's sockets, logs and the note of
    a running cluster that `address="auto"` follows: in /tmp, since a socket's path is short.

    Yields:
        The process, and the words of the line after the first.
    """
    for _ in range(TRIES):
        with (
            tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
            errors.open("w") as file,
            subprocess.Popen(
                [sys.executable, str(SUPPORT / script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env=environment(RAY_TMPDIR=folder),
            ) as process,
        ):
            told = next((line for line in process.stdout if line.startswith(f"{said} ")), None)
            if told is not None:
                yield process, told.split()[1:]
                process.stdin.close()
                process.wait(timeout=300)
                return
    pytest.fail(f"{script} ended {TRIES} times; the last time it wrote:\n{errors.read_text()}")


def prepare_on_ray(
    address: str, inputs, output: Path, *, unit_bytes=8000, killed=False, times=1, **options
) -> dict[str, str] | None:
    """Run `prepare` with `engine="ray"` on the cluster at `address`, in a process of its own.

    Where that process is lost, the test fails with what it wrote.

    Returns:
        `type` and `message` of the error, or None.
    """
    told = {
        "inputs": inputs,
        "output": str(output),
        "options": options,
        "unit_bytes": unit_bytes,
        "killed": killed,
        "times": times,
    }
    ended = subprocess.run(
        [sys.executable, str(SUPPORT / "ray_prepare.py"), json.dumps(told, default=str)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(RAY_ADDRESS=address),
    )
    if ended.returncode:
        pytest.fail(f"ray_prepare.py ended with {ended.returncode}:\n{ended.stderr}")
    return json.loads(ended.stdout)
