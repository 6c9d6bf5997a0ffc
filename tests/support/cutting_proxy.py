"""A TCP proxy that cuts connections: what a network does to a download."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_CHUNK = 1 << 14


class CuttingProxy:
    """Passes bytes on to a server of this machine, until it is told to cut.

    Attributes:
        port: Where it listens.
        passed: Bytes of answers that went through.
        cuts: How many connections it has cut.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._lock = threading.Lock()
        self._budget: int | None = None
        self._after = self._times = 0
        self.passed = self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, after: int, times: int = 1) -> None:
        """Cut the connection that carries the next `after` bytes of answers, `times` times over."""
        with self._lock:
            self._after, self._times, self._budget = after, times, after

    def break_down(self, after: int) -> None:
        """Cut the connection after `after` bytes of answers, and then all others at once."""
        with self._lock:
            self._after, self._times, self._budget = 0, -1, after

    def mend(self) -> None:
        """Cut no more."""
        with self._lock:
            self._budget = None

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                for one, other, answers in ((client, server, False), (server, client, True)):
                    threading.Thread(
                        target=self._relay, args=(one, other, answers), daemon=True
                    ).start()

    def _relay(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                allowed = self._allowed(len(data)) if answers else len(data)
                target.sendall(data[:allowed])
                if allowed < len(data):
                    break
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _allowed(self, size: int) -> int:
        """Return how many of the next bytes may pass; fewer than `size` cuts the connection."""
        with self._lock:
            if self._budget is None or size <= self._budget:
                self.passed += size
                if self._budget is not None:
                    self._budget -= size
                return size
            allowed = self._budget
            self.passed += allowed
            self.cuts += 1
            self._times -= 1
            self._budget = self._after if self._times else None
            return allowed
