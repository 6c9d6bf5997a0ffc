"""The sockets that a server listens on: TCP, Unix, or those that systemd hands over."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import socket
import stat
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlmfast.errors import InputError
from mlmfast.serving.http.process.systemd import inherited_sockets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlmfast.serving.http.settings import ServeSettings

_BACKLOG = 2048
# The FileDescriptorName of a socket of systemd that is for health and metrics.
_ADMIN_NAME = "admin"
# Of asm-generic/socket.h, which Python has no names for.
_SO_ATTACH_FILTER, _SO_ATTACH_REUSEPORT_CBPF = 26, 51
# Classic BPF, of linux/filter.h: (code, jump if true, jump if false, k).
_LOAD_BYTE, _LOAD_WORD, _AND, _MODULO, _IF_EQUAL, _RETURN = 0x30, 0x20, 0x54, 0x94, 0x15, 0x06
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_FLAGS_BYTE, _SYN, _ACK = 13, 0x02, 0x10  # of a TCP header
_KEEP, _DROP = 0xFFFFFFFF, 0


@dataclass
class Listening:
    """The sockets of a server.

    Attributes:
        sockets: those that clients connect to.
        admin: those for health and metrics.
        one_each: whether each worker has a socket of its own, among which the kernel divides new
            connections; else all share all.
        inherited: whether the sockets are systemd's, and outlive this server: what waits there is
            for the next one.
    """

    sockets: list[socket.socket]
    admin: list[socket.socket] = field(default_factory=list)
    one_each: bool = False
    inherited: bool = False

    @property
    def url(self) -> str:
        """Where clients find the server."""
        return _url(self.sockets[0])

    @property
    def admin_url(self) -> str | None:
        """Where probes find it, if they have a port of their own."""
        return _url(self.admin[0]) if self.admin else None

    @property
    def is_public(self) -> bool:
        """Whether other machines may connect."""
        return any(not _is_local(one) for one in self.sockets)

    def of_worker(self, number: int) -> list[socket.socket]:
        """Return the sockets from which a worker accepts connections."""
        return [self.sockets[number]] if self.one_each else self.sockets

    def steer(self, workers: Sequence[int]) -> None:
        """Let the kernel give new connections to these workers alone, at random."""
        if not self.one_each or not workers:
            return
        program = [(_LOAD_WORD, 0, 0, _RANDOM), (_MODULO, 0, 0, len(workers))]
        for place, worker in enumerate(workers[:-1]):
            program += [(_IF_EQUAL, 0, 1, place), (_RETURN, 0, 0, worker)]
        program.append((_RETURN, 0, 0, workers[-1]))
        # Where this is not known, the kernel divides among all by a hash of the addresses.
        _attach(self.sockets[0], _SO_ATTACH_REUSEPORT_CBPF, program)

    def refuse_new(self) -> None:
        """Let no new connection begin, and keep those that wait to be accepted.

        Closing a socket resets the connections that wait there. Without their SYN, clients that
        come now try again a second later, and are refused once the socket is closed.
        """
        program = [
            (_LOAD_BYTE, 0, 0, _FLAGS_BYTE),
            (_AND, 0, 0, _SYN | _ACK),
            (_IF_EQUAL, 0, 1, _SYN),
            (_RETURN, 0, 0, _DROP),
            (_RETURN, 0, 0, _KEEP),
        ]
        for one in [] if self.inherited else self.sockets:
            if one.family == socket.AF_UNIX:
                Path(one.getsockname()).unlink(missing_ok=True)
            else:
                _attach(one, _SO_ATTACH_FILTER, program)


def seconds_waited(own: socket.socket) -> float | None:
    """Return how long a connection waited to be accepted; None where the kernel does not tell.

    Before anything is sent, TCP's time since the last sending begins with the connection.
    """
    if own.family == socket.AF_UNIX or sys.platform != "linux":
        return None
    try:
        info = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 48)
    except OSError:
        return None
    # tcpi_last_data_sent, in milliseconds, of struct tcp_info in linux/tcp.h.
    return float(struct.unpack_from("I", info, 44)[0]) / 1000 if len(info) == 48 else None


@contextlib.contextmanager
def listen(settings: ServeSettings) -> Iterator[Listening]:
    """Listen where the settings say, or on the sockets that systemd hands over.

    Raises:
        InputError: an address or a path cannot be bound.
    """
    given = inherited_sockets()
    admin = given.pop(_ADMIN_NAME, [])
    sockets = [one for several in given.values() for one in several]
    one_each, path, inherited = False, None, bool(sockets)
    try:
        if not inherited and settings.uds:
            wanted = Path(settings.uds).expanduser().absolute()
            sockets = [_bind_unix(wanted)]
            path = wanted
        elif not inherited:
            one_each = settings.workers > 1 and hasattr(socket, "SO_REUSEPORT")
            sockets = _bind_tcp(settings.host, settings.port, settings.workers if one_each else 0)
        if not admin and settings.admin_port is not None:
            admin = _bind_tcp(settings.host, settings.admin_port)
        yield Listening(sockets, admin, one_each, inherited)
    finally:
        for one in [*sockets, *admin]:
            one.close()
        if path:
            path.unlink(missing_ok=True)


def _bind_tcp(host: str, port: int, workers: int = 0) -> list[socket.socket]:
    """Bind one socket, or as many as there are workers to the same port."""
    sockets: list[socket.socket] = []
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if workers:
            # A socket that shares its port would also share that of another server.
            with socket.socket(family, socket.SOCK_STREAM) as alone:
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind(address)
        for _ in range(workers or 1):
            one = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if workers:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(address)
            address = one.getsockname()
        for one in sockets:
            one.listen(_BACKLOG)
            one.setblocking(False)
    except OSError as error:
        for one in sockets:
            one.close()
        raise InputError(
            f"The server cannot listen on {host}:{port}: {error.strerror or error}. Choose another "
            "--host or --port."
        ) from error
    return sockets


def _bind_unix(path: Path) -> socket.socket:
    own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead(path)
        own.bind(str(path))
        own.listen(_BACKLOG)
    except OSError as error:
        own.close()
        raise InputError(
            f"The server cannot listen on the socket {path}: {error.strerror or error}. Choose "
            "another --uds."
        ) from error
    own.setblocking(False)
    return own


def _remove_dead(path: Path) -> None:
    """Remove the socket of a server that was killed, and nothing else."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(1)
        try:
            asked.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError:
            return


def _is_local(one: socket.socket) -> bool:
    if one.family == socket.AF_UNIX:
        return True
    host = one.getsockname()[0].partition("%")[0]  # without the zone of IPv6
    return ipaddress.ip_address(host).is_loopback


def _url(one: socket.socket) -> str:
    if one.family == socket.AF_UNIX:
        name = one.getsockname()  # bytes, where it is no path
        return f"unix:{name}" if isinstance(name, str) else f"unix:@{name[1:].decode()}"
    host, port = one.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _attach(one: socket.socket, option: int, program: list[tuple[int, int, int, int]]) -> None:
    """Attach a classic BPF program to a socket, where the system has such."""
    if sys.platform != "linux":
        return
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    memory = ctypes.create_string_buffer(code)
    about = struct.pack("HP", len(program), ctypes.addressof(memory))
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, option, about)
