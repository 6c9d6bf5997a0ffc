"""Where a server listens: Unix sockets, sockets of systemd; what it tells systemd."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading

import httpx
import pytest

import http_client
from http_client import PATIENCE
from mlmfast.errors import InputError
from mlmfast.serving.http.settings import ModelSource, ServeSettings
from mlmfast.serving.http.sockets.listening import Listening, listen
from raw_http import closing_request, rest
from serving import begun, until

BODY = {"inputs": "paris is the <mask> of france"}
REQUEST = closing_request(json.dumps(BODY).encode())


@pytest.fixture(scope="module")
def onnx(tiny_model):
    return str(tiny_model("roberta").onnx)


@pytest.fixture
def settings(tmp_path):
    def make(**wanted):
        return ServeSettings((ModelSource("a", tmp_path),), **wanted)

    return make


# As systemd does: the sockets become descriptors from 3 on, and the process stays the same.
ACTIVATE = """
import os, sys
names, program = sys.argv[1].split(","), sys.argv[2:]
for number, one in enumerate([os.dup(int(name.partition("=")[2])) for name in names]):
    os.dup2(one, 3 + number)
    os.set_inheritable(3 + number, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(names))}
os.environ["LISTEN_FDNAMES"] = ":".join(name.partition("=")[0] for name in names)
os.execvp(program[0], program)
"""


def activated(**sockets):
    """The arguments of `begun` that hand a server these sockets by their names."""
    given = ",".join(f"{name}={one.fileno()}" for name, one in sockets.items())
    return {
        "through": (sys.executable, "-c", ACTIVATE, given),
        "descriptors": tuple(one.fileno() for one in sockets.values()),
    }


def over(path):
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=PATIENCE)


def test_a_unix_socket_is_answered_and_removed(onnx, tmp_path):
    path = tmp_path / "serve.sock"
    with begun(onnx, "--uds", str(path), "--admin-port", "0") as server:
        assert server.url == f"unix:{path}"
        with over(path) as client:
            assert client.post("http://localhost/", json=BODY).status_code == 200
            assert client.get("http://localhost/health").json() == {"status": "ready"}
        assert http_client.get(f"{server.admin_url}/health").json() == {"status": "ready"}
        assert not any("without a key" in line for line in server.lines)
        until(lambda: any(line["event"] == "request" for line in server.log()))
        assert server.stop() == 0
        assert not path.exists()


def test_the_socket_of_a_server_that_was_killed_is_replaced(settings, tmp_path):
    path = tmp_path / "serve.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listen(settings(uds=str(path))) as listening:
        assert listening.url == f"unix:{path}"
        with (
            pytest.raises(InputError, match="Address already in use"),
            listen(settings(uds=str(path))),
        ):
            pass
        assert path.exists()


def test_what_is_no_socket_is_not_removed(settings, tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("dear reader", encoding="utf-8")
    with pytest.raises(InputError, match="Choose another --uds"), listen(settings(uds=str(path))):
        pass
    assert path.read_text(encoding="utf-8") == "dear reader"


def test_no_second_server_shares_the_port_of_workers(settings):
    with listen(settings(port=0, workers=2)) as listening:
        assert len(listening.sockets) == 2
        port = listening.sockets[0].getsockname()[1]
        for workers in (1, 2):
            with (
                pytest.raises(InputError, match="cannot listen"),
                listen(settings(port=port, workers=workers)),
            ):
                pass


def test_new_connections_go_to_the_workers_that_were_named(settings):
    with listen(settings(port=0, workers=3)) as listening, contextlib.ExitStack() as stack:
        for able in ([1], [0, 2], [2], [0, 1, 2]):
            listening.steer(able)
            for _ in range(60):
                stack.enter_context(socket.create_connection(listening.sockets[0].getsockname()))
            got = []
            for number, one in enumerate(listening.sockets):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        own, _ = one.accept()
                        stack.enter_context(own)
                        got.append(number)
            assert len(got) == 60
            assert set(got) == set(able)


class Told:
    """What a server tells systemd."""

    def __init__(self, path):
        self.address = str(path)
        self.lines: list[str] = []
        self._own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._own.bind(self.address)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(OSError):
            while True:
                self.lines += self._own.recv(4096).decode().split("\n")

    def of(self, *names):
        return [line for line in self.lines if line.partition("=")[0] in names]


@pytest.mark.parametrize("workers", [1, 2])
def test_systemd_hears_how_it_goes(onnx, tmp_path, workers):
    told = Told(tmp_path / "notify")
    variables = {"NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "400000"}
    with begun(onnx, f"--workers={workers}", ready=False, variables=variables) as server:
        until(lambda: told.of("READY"))
        assert http_client.post(server.url, json=BODY).status_code == 200
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(told.of("READY", "RELOADING")) == 3)
        assert [line.partition("=")[0] for line in told.of("READY", "RELOADING")] == [
            "READY",
            "RELOADING",
            "READY",
        ]
        assert int(told.of("MONOTONIC_USEC")[0].partition("=")[2]) > 0
        beats = len(told.of("WATCHDOG"))
        until(lambda: len(told.of("WATCHDOG")) > beats + 2)
        assert server.stop() == 0
        until(lambda: told.of("STOPPING"))


def test_connections_wait_in_a_socket_of_systemd_for_the_next_server(onnx):
    """Two servers one after the other on a socket that outlives them, as at a restart."""
    with socket.create_server(("127.0.0.1", 0)) as own:
        address, kwargs = own.getsockname(), activated(http=own)
        with socket.create_connection(address) as early:
            early.sendall(REQUEST)  # nobody runs yet
            with begun(onnx, **kwargs) as server:
                assert server.url == f"http://127.0.0.1:{address[1]}"
                # It may have come before the model was loaded.
                assert rest(early)[9:12] in (b"200", b"503")
                assert http_client.post(server.url, json=BODY).status_code == 200
                assert server.stop() == 0
        with socket.create_connection(address) as between:
            between.sendall(REQUEST)
            with begun(onnx, "--workers", "2", **kwargs):
                assert rest(between)[9:12] in (b"200", b"503")


def test_health_may_have_a_named_socket_of_systemd(onnx):
    with (
        socket.create_server(("127.0.0.1", 0)) as main,
        socket.create_server(("127.0.0.1", 0)) as admin,
        begun(onnx, **activated(http=main, admin=admin)) as server,
    ):
        assert server.admin_url == f"http://127.0.0.1:{admin.getsockname()[1]}"
        assert http_client.get(f"{server.admin_url}/health").status_code == 200
        assert http_client.post(server.url, json=BODY).status_code == 200


def test_sockets_without_a_path_have_a_url_too():
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(f"\0mlmfast-{os.getpid()}")
        assert Listening([own]).url == f"unix:@mlmfast-{os.getpid()}"
        assert not Listening([own]).is_public


def test_what_systemd_gave_to_another_process_is_left_alone(settings, monkeypatch):
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    with listen(settings(port=0)) as listening:
        assert not listening.inherited


def test_a_descriptor_that_does_not_listen_is_told(onnx):
    with socket.socket() as own, begun(onnx, ready=False, **activated(http=own)) as server:
        assert server.process.wait(PATIENCE) == 2
        until(lambda: any("no socket that listens" in line for line in server.lines))
