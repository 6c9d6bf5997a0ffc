"""What systemd gives a service and wants from it: sockets, notifications, the watchdog.

See sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3). Without systemd nothing happens.
"""

from __future__ import annotations

import logging
import os
import socket
import time

from mlmfast.errors import InputError

logger = logging.getLogger("mlmfast.serve")

_FIRST_DESCRIPTOR = 3


class Systemd:
    """Tells systemd what the server does, if systemd asked for it."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._every = _watchdog_seconds() / 2
        self._beat_at = 0.0

    def ready(self) -> None:
        """Say that the server answers, for the first time or again after a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that the models are being reloaded."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> bool:
        """Say that the server ends; return whether no other process goes on."""
        self._send("STOPPING=1")
        return True

    def drained(self) -> bool:
        """Return whether the server may end: systemd has no objection."""
        return True

    def beat(self) -> None:
        """Say that the server lives, as often as the watchdog asks."""
        now = time.monotonic()
        if self._every and now - self._beat_at >= self._every:
            self._beat_at = now
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        abstract = self._address.startswith("@")
        address = f"\0{self._address[1:]}" if abstract else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
                own.settimeout(1)  # no answer of systemd may keep the server from answering
                own.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            logger.warning("systemd was not told %s: %s", lines[0], error)


def inherited_sockets() -> dict[str, list[socket.socket]]:
    """Take the listening sockets of socket activation, by their FileDescriptorName.

    They are taken once: processes that this one starts get none.

    Raises:
        InputError: one of them is no listening stream socket.
    """
    for_us = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    count = os.environ.pop("LISTEN_FDS", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[socket.socket]] = {}
    if not for_us or not count.isdigit():
        return found
    for number in range(int(count)):
        descriptor = _FIRST_DESCRIPTOR + number
        name = names[number] if number < len(names) else ""
        try:
            one = socket.socket(fileno=descriptor)
            listens = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError:
            listens = 0
        if not listens:
            raise InputError(
                f"The descriptor {descriptor} of socket activation is no socket that listens: its "
                "unit needs ListenStream= and Accept=no."
            )
        one.set_inheritable(False)
        one.setblocking(False)
        found.setdefault(name, []).append(one)
    return found


def _watchdog_seconds() -> float:
    """Return the seconds after which systemd takes a silent server for hung; 0: never."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return int(microseconds) / 1e6 if microseconds.isdigit() else 0.0
