"""Guards of a run of the tests: it ends, and names the test, however a test or a process hangs.

pytest-timeout fails a test that is past its time, by a signal that Python handles. What no signal
reaches is left to the two below.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time

import pytest

# After a test's own time, which pytest-timeout watches.
GRACE_SECONDS = 60
# Longer than any test may take.
SILENCE_SECONDS = 2400


class StuckTest:
    """Ends a process whose test is past its time and handles no signal, in the midst of C code.

    Where pytest-xdist is at work, that test fails by its name, and the rest is run by another
    process.
    """

    def __init__(self, config: pytest.Config) -> None:
        """Keep the real standard error: pytest captures that of the tests."""
        self._seconds = seconds_of(config)
        self._errors = os.dup(2)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        mark = item.get_closest_marker("timeout")
        seconds = mark.args[0] if mark else self._seconds
        if not seconds:
            return (yield)
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=self._errors)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()


class Silence:
    """Ends a run in which no test has begun or ended for long, and names those that have begun.

    In the process that the others report to: one of them may hang where no test runs, or be waited
    for though it is gone.
    """

    def __init__(self, seconds: float = SILENCE_SECONDS) -> None:
        """Begin to listen."""
        self._seconds = seconds
        self._begun: dict[str, float] = {}
        self._heard = threading.Semaphore(0)
        self._ended = False
        self._errors = os.dup(2)
        threading.Thread(target=self._listen, daemon=True).start()

    def pytest_runtest_logstart(self, nodeid):
        self._begun[nodeid] = time.monotonic()
        self._heard.release()

    def pytest_runtest_logfinish(self, nodeid):
        self._begun.pop(nodeid, None)
        self._heard.release()

    def pytest_unconfigure(self):
        self._ended = True
        self._heard.release()

    def _listen(self):
        while self._heard.acquire(timeout=self._seconds):
            if self._ended:
                return
        now = time.monotonic()
        lines = [
            f"\nNo test has begun or ended for {self._seconds:.0f} seconds; the run ends here.",
            *(
                f"not ended: {name}, begun {now - at:.0f} seconds ago"
                for name, at in self._begun.items()
            ),
            "",
        ]
        os.write(self._errors, "\n".join(lines).encode())
        os._exit(1)


def seconds_of(config: pytest.Config) -> float:
    """How long a test may take; 0 is without end, as `--timeout 0` of `make fuzz` has it."""
    option = config.getoption("timeout", None)
    return float(config.getini("timeout") or 0 if option is None else option)


def guard(config: pytest.Config) -> None:
    """Register the guards that the process of `config` needs."""
    config.pluginmanager.register(StuckTest(config))
    if seconds_of(config) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Silence())
