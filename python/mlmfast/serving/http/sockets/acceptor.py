"""Accepts connections: all that wait in one turn of the event loop, and a bounded number."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING, Protocol

from mlmfast.serving.http.sockets.listening import seconds_waited
from mlmfast.serving.http.sockets.unread import HasFileno, with_unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mlmfast.serving.http.telemetry.metrics import Metrics

logger = logging.getLogger("mlmfast.serve")

# Beyond the limit so many more are accepted, for probes and for answers that say so.
RESERVE = 32
# Connections that are accepted before the event loop turns to others.
_MAX_A_TURN = 256
# Of the connections that could be closed to make room, so many at once.
_EVICTED_SHARE = 16
# Those that have just come are not closed, since their request is on its way.
_MIN_IDLE_SECONDS = 1.0
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_SECONDS = 0.5
# After no connection was found that could be closed, none is looked for.
_NO_ROOM_SECONDS = 0.1
_LOG_SECONDS = 10.0


class Evictable(HasFileno, Protocol):
    """A connection that can be closed while it waits for a request."""

    def waiting_since(self) -> float | None:
        """Return the event loop's time since when it waits for a request; None if it has one."""

    def evict(self) -> None:
        """Close it."""


class Acceptor:
    """Accepts connections on the event loop, and counts those that are open.

    libuv, and so uvloop, accepts one connection in each turn of the event loop. With hundreds of
    new connections, of which each that was accepted has its requests handled in every turn, the
    last one waits for seconds.

    At `limit` connections, the ones that have waited longest for a request are closed to make room,
    but none whose request has come and was not read yet.
    Where there are none, new connections are over the limit: they are accepted up to a reserve,
    and refused in HTTP. Beyond that, new ones wait in the kernel's queue.

    Attributes:
        open: connections that are open.
        limit: connections after which new ones are over the limit.
        connections: those that may be closed to make room.
    """

    def __init__(self, limit: int, metrics: Metrics):
        self.open = 0
        self.limit = limit
        self.connections: Iterable[Evictable] = ()
        self._metrics = metrics
        self._sockets: dict[socket.socket, Callable[[], asyncio.Protocol]] = {}
        self._paused = False
        self._evicted = 0  # of those that are open still
        self._look_again_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged_at: dict[str, float] = {}

    @property
    def is_over(self) -> bool:
        """Whether more connections are open than the limit allows."""
        return self.open > self.limit

    @property
    def is_beginning(self) -> bool:
        """Whether connections were accepted that are not set up yet."""
        return bool(self._tasks)

    def start(self, sockets: Sequence[socket.socket], make: Callable[[], asyncio.Protocol]) -> None:
        """Accept connections from further sockets, each with a protocol of its own."""
        for one in sockets:
            one.setblocking(False)
            self._sockets[one] = make
        if not self._paused:
            self._resume()

    def stop(self) -> None:
        """Accept no more; the sockets stay open."""
        self._pause()
        self._sockets.clear()

    def closed(self, *, evicted: bool) -> None:
        """Count a connection that has ended."""
        self.open -= 1
        self._evicted -= evicted
        self._metrics.set_connections(self.open)
        if self._paused and self._sockets and self.open < self.limit + RESERVE:
            self._resume()

    def _pause(self) -> None:
        self._paused = True
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            loop.remove_reader(one.fileno())

    def _resume(self) -> None:
        self._paused = False
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            loop.add_reader(one.fileno(), self._accept, one)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_MAX_A_TURN):
            if self.open >= self.limit + RESERVE:
                self._log("there are %d connections; new ones wait", self.open)
                self._metrics.count_accept_pause("max_connections")
                self._pause()
                return
            try:
                own, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:  # the client has gone already
                continue
            except OSError as error:
                self._wait_for_descriptors(error)
                return
            self._begin(own, self._sockets[listening])
            if self.open - self._evicted > self.limit:
                self._make_room()

    def _begin(self, own: socket.socket, make: Callable[[], asyncio.Protocol]) -> None:
        own.setblocking(False)
        self.open += 1
        self._metrics.set_connections(self.open)
        self._metrics.count_connection(seconds_waited(own))
        task = asyncio.get_running_loop().create_task(self._connect(own, make))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, own: socket.socket, make: Callable[[], asyncio.Protocol]) -> None:
        made = False

        def make_once() -> asyncio.Protocol:
            nonlocal made
            made = True
            return make()

        try:
            await asyncio.get_running_loop().connect_accepted_socket(make_once, own)
        except OSError:  # the client has gone already
            own.close()
            if not made:
                self.closed(evicted=False)

    def _make_room(self) -> None:
        """Close some of the connections that have waited longest for a request."""
        now = asyncio.get_running_loop().time()
        if now < self._look_again_at:
            return
        before = now - _MIN_IDLE_SECONDS
        waiting = [
            (since, connection)
            for connection in self.connections
            if (since := connection.waiting_since()) is not None and since < before
        ]
        asking = with_unread(connection for _, connection in waiting)
        waiting = [pair for pair in waiting if pair[1] not in asking]
        waiting.sort(key=lambda pair: pair[0])
        for _, connection in waiting[: max(1, self.limit // _EVICTED_SHARE)]:
            connection.evict()
            self._evicted += 1
            self._metrics.count_eviction()
        if not waiting:
            self._look_again_at = now + _NO_ROOM_SECONDS

    def _wait_for_descriptors(self, error: OSError) -> None:
        """Accept nothing for a moment: the socket stays ready, and would keep the loop busy."""
        if error.errno in _OUT_OF_DESCRIPTORS:
            reason = "descriptors"
            self._make_room()
        else:
            reason = "error"
        self._metrics.count_accept_pause(reason)
        self._log("no connection can be accepted: %s", error.strerror or error)
        self._pause()
        asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._resume_after_pause)

    def _resume_after_pause(self) -> None:
        if self._paused and self._sockets:
            self._resume()

    def _log(self, message: str, *arguments: object) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at.get(message, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._logged_at[message] = now
            logger.error(message, *arguments)
