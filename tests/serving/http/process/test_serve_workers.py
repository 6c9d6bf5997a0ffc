"""Several workers: how they share connections, and what happens when one hangs or all stop."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

import http_client
from raw_http import closing_request, rest
from serving import PATIENCE, begun, until

BODY = json.dumps({"inputs": "paris is the <mask> of france"}).encode()
REQUEST = closing_request(BODY)


@pytest.fixture(scope="module")
def onnx(tiny_model):
    return str(tiny_model("roberta").onnx)


def loaded(server):
    """The processes that have loaded the model, in order."""
    return [line["process"] for line in server.log() if line["event"] == "ready"]


def asked(server, request_id="any"):
    """Send a request on a connection of its own, and return all that comes back."""
    named = closing_request(BODY, b"X-Request-Id: %b\r\n" % request_id.encode())
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        connection.sendall(named)
        return rest(connection)


class TestTwo:
    @pytest.fixture(scope="class")
    def server(self, onnx):
        arguments = ["--workers", "2", "--threads", "2", "--worker-timeout", "5"]
        with begun(onnx, *arguments, "--admin-port", "0", ready=False) as one:
            until(lambda: len(loaded(one)) == 2)
            yield one

    def test_new_connections_are_shared(self, server):
        def answered(request_id):
            lines = [line for line in server.log() if line.get("request_id") == request_id]
            return [line["process"] for line in lines]

        def both_get_some():  # the parent hears of a worker that is ready a moment after the log
            asked(server, "first")
            return len(set(answered("first"))) == 2

        until(both_get_some)
        assert all(asked(server, "shared")[9:12] == b"200" for _ in range(80))
        until(lambda: len(answered("shared")) == 80)
        shares = Counter(answered("shared"))
        # By chance, a share of less than a quarter comes once in a million runs.
        assert len(shares) == 2
        assert min(shares.values()) >= 20

    def test_the_parent_answers_probes_for_all(self, server):
        assert http_client.get(f"{server.admin_url}/health").json() == {"status": "ready"}
        assert http_client.get(f"{server.admin_url}/v2/health/live").status_code == 200
        assert server.metric("mlmfast_model_ready") == 2
        accepted = server.metric("mlmfast_connections_accepted_total")
        assert asked(server)[9:12] == b"200"
        assert server.metric("mlmfast_connections_accepted_total") > accepted

    def test_a_worker_that_hangs_is_replaced(self, server):
        """Nothing that came since is lost: it waits for the new worker, or goes to the other."""
        hung = loaded(server)[-1]
        count = len(loaded(server))
        before = server.metric("mlmfast_workers_replaced_total", reason="hung")
        psutil.Process(hung).suspend()
        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(lambda _: asked(server)[9:12], range(40)))
        assert set(answers) == {b"200"}
        until(lambda: len(loaded(server)) > count)
        assert not psutil.pid_exists(hung)
        until(lambda: server.metric("mlmfast_workers_replaced_total", reason="hung") > before)
        assert any("no sign of life" in line["event"] for line in server.log())

    def test_a_worker_that_is_ended_alone_takes_nobody_with_it(self, server):
        last = loaded(server)[-1]
        count = len(loaded(server))
        psutil.Process(last).send_signal(signal.SIGTERM)
        answers = set()

        def replaced():
            answers.add(asked(server)[9:12])
            return len(loaded(server)) > count

        until(replaced)
        # It refuses what it gets before the others get all.
        assert answers <= {b"200", b"503"}
        assert asked(server)[9:12] == b"200"


def test_a_pause_of_all_processes_is_no_sign_that_they_hang(onnx):
    with begun(onnx, "--workers", "2", "--worker-timeout", "1", ready=False) as server:
        until(lambda: len(loaded(server)) == 2)
        parent = psutil.Process(server.process.pid)
        all_of_them = [parent, *parent.children(recursive=True)]
        for one in reversed(all_of_them):
            one.suspend()
        paused = time.monotonic()
        until(lambda: time.monotonic() - paused > 3)
        for one in all_of_them:
            one.resume()
        assert all(asked(server)[9:12] == b"200" for _ in range(10))
        assert len(loaded(server)) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sigterm_resets_no_connection(onnx, workers):
    """Who could connect gets an answer: 200, or 503 from a server that stops."""
    with begun(onnx, f"--workers={workers}", ready=False) as server:
        until(lambda: len(loaded(server)) == workers)
        answers: list[bytes] = []
        slow = threading.Event()

        def keep_asking():
            while True:
                began = time.monotonic()
                try:
                    connection = socket.create_connection(server.address, timeout=PATIENCE)
                except ConnectionRefusedError:  # nobody listens any more
                    return
                with connection:
                    connection.sendall(REQUEST)
                    # A client that needs longer than this is closed like any other idle one.
                    sent = time.monotonic()
                    found = rest(connection)
                    if not found and sent - began > 1:
                        slow.set()
                        continue
                    answers.append(found[9:12])

        with ThreadPoolExecutor(16) as pool:
            asking = [pool.submit(keep_asking) for _ in range(16)]
            until(lambda: len(answers) > 100)
            assert server.stop() == 0
            for each in asking:
                each.result()
        assert set(answers) <= {b"200", b"503"}
        assert not slow.is_set() or b"503" in answers


def test_a_sigterm_answers_what_waits_for_a_worker_that_hangs(onnx):
    with begun(onnx, "--workers", "2", "--drain-seconds", "1", ready=False) as server:
        until(lambda: len(loaded(server)) == 2)
        psutil.Process(loaded(server)[0]).suspend()
        with contextlib.ExitStack() as stack:
            # So many at once that some wait for the one that hangs.
            waiting = [
                stack.enter_context(socket.create_connection(server.address, timeout=PATIENCE))
                for _ in range(30)
            ]
            for one in waiting:
                one.sendall(REQUEST)
            server.process.send_signal(signal.SIGTERM)
            assert {rest(one)[9:12] for one in waiting} <= {b"200", b"503"}
        assert server.process.wait(PATIENCE) == 0
