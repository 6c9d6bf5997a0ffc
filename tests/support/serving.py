"""A real `mlmfast serve` process for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import http_client
from http_client import PATIENCE


class News:
    """Wakes those who wait for something in a server, with each line that a server writes."""

    # Counts and memory of a server change without a line.
    _LOOK_AGAIN = 0.05

    def __init__(self):
        self._changed = threading.Condition()
        self._lines = 0

    def tell(self) -> None:
        with self._changed:
            self._lines += 1
            self._changed.notify_all()

    def until(self, holds) -> None:
        """Wait until something holds, and look whenever there is a new line."""
        end = time.monotonic() + PATIENCE
        while True:
            seen = self._lines
            # Outside of the lock, which would keep a server's lines unread while it is asked.
            if holds():
                return
            assert time.monotonic() < end
            with self._changed:
                self._changed.wait_for(lambda seen=seen: self._lines != seen, self._LOOK_AGAIN)


_news = News()
until = _news.until


@dataclass
class Serving:
    """A server that runs.

    Attributes:
        url: where.
        process: the process that was begun.
        admin_url: where health and metrics are, if they have a port of their own.
        lines: what it has written to standard error.
        reading: whether more may come.
    """

    url: str
    process: subprocess.Popen
    admin_url: str = ""
    lines: list[str] = field(default_factory=list)
    reading: bool = True

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def log(self) -> list[dict]:
        """The lines of its log that are JSON, in order."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all its label sets that have `labels`."""
        total = 0.0
        for line in http_client.get(f"{self.admin_url or self.url}/metrics").text.splitlines():
            named = line.startswith((f"{name}{{", f"{name} "))
            if named and all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rpartition(" ")[2])
        return total

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def begun(
    *arguments: str,
    ready: bool = True,
    variables: dict[str, str] | None = None,
    through: tuple[str, ...] = (),
    descriptors: tuple[int, ...] = (),
):
    """Begin `mlmfast serve` on a free port; wait until it is ready, unless told otherwise.

    `through` is a command that runs it, with `variables` and open `descriptors`.

    Its time limits are as long as those of the tests: on a busy machine an answer may take longer
    than a client of a real server would wait.
    """
    names = ("request-timeout", "header-timeout", "body-timeout", "drain-seconds")
    limits = [f"--{name}={PATIENCE}" for name in names]
    command = [*through, sys.executable, "-m", "mlmfast", "serve"]
    command += [*limits, *arguments, "--port", "0"]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(variables or {})},
        errors="replace",
        pass_fds=descriptors,
    ) as process:
        server = Serving("", process)
        bound, told = threading.Event(), threading.Event()

        def read() -> None:
            for line in process.stderr:
                server.lines.append(line.rstrip("\n"))
                if line.startswith("Health and metrics on "):
                    server.admin_url = line.split()[-1]
                if line.startswith("Serving on "):
                    server.url = line.split()[-1]
                    bound.set()
                if '"event":"ready"' in line:
                    told.set()
                _news.tell()
            server.reading = False
            bound.set()
            told.set()
            _news.tell()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            assert bound.wait(PATIENCE)
            if ready:
                assert told.wait(PATIENCE)
                assert process.poll() is None, server.lines
            yield server
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            reader.join()
