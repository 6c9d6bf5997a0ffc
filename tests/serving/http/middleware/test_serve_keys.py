"""Several keys with limits, which may change meanwhile, and the hosts that are answered for."""

from __future__ import annotations

import json
import signal
import socket

import pytest

import http_client
from raw_http import rest
from serving import PATIENCE, begun, until

BODY = {"inputs": "paris is the <mask> of france"}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("keys") / "keys.txt"


@pytest.fixture(scope="module")
def server(tiny_model, file):
    file.write_text("web open\nslow sesame requests_per_second=0.001\nsmall barley max_texts=2\n")
    hosts = ["--allowed-host", "127.0.0.1", "--allowed-host", "*.example.org"]
    arguments = ["--api-key-file", str(file), *hosts]
    with begun(str(tiny_model("roberta").onnx), *arguments) as one:
        yield one


def ask(server, key, body=BODY, path="/", **headers):
    headers = {"authorization": f"Bearer {key}", **headers}
    return http_client.post(server.url + path, json=body, headers=headers)


class TestLimits:
    def test_requests_per_second(self, server):
        """The limit is one request in 1,000 seconds, and comes before the body is read."""
        assert ask(server, "sesame").status_code == 200
        refused = ask(server, "sesame")
        assert (refused.status_code, refused.json()["error_type"]) == (429, "key_rate")
        assert int(refused.headers["retry-after"]) > 900
        assert ask(server, "open").status_code == 200

    def test_texts(self, server):
        texts = [BODY["inputs"]] * 3
        refused = ask(server, "barley", {"inputs": texts})
        assert (refused.status_code, refused.json()["error_type"]) == (422, "too_many_texts")
        assert ask(server, "barley", {"inputs": texts[:2]}).status_code == 200
        assert ask(server, "open", {"inputs": texts}).status_code == 200

    def test_logs_and_metrics_name_the_key(self, server):
        answered = server.metric("mlmfast_key_requests_total", key="small", status="200")
        texts = server.metric("mlmfast_key_texts_total", key="small")
        assert ask(server, "barley", **{"x-request-id": "by-small"}).status_code == 200
        found = server.metric("mlmfast_key_requests_total", key="small", status="200")
        assert found == answered + 1
        assert server.metric("mlmfast_key_texts_total", key="small") == texts + 1
        until(lambda: any(line.get("request_id") == "by-small" for line in server.log()))
        line = next(line for line in server.log() if line.get("request_id") == "by-small")
        assert line["key"] == "small"
        assert not any("barley" in line for line in server.lines)

    def test_keys_are_read_again(self, server, file):
        before = file.read_text()
        file.write_text(f"{before}new comer\n")
        assert ask(server, "comer").status_code == 401
        server.process.send_signal(signal.SIGHUP)
        until(lambda: ask(server, "comer").status_code == 200)
        assert ask(server, "open").status_code == 200
        file.write_text("new comer speed=3\n")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: any("the keys were not reloaded" in line for line in server.lines))
        assert ask(server, "open").status_code == 200
        file.write_text(before)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: ask(server, "comer").status_code == 401)


def status(server, host, path="/v1/models"):
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer open\r\n"
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        found = rest(connection)
    if b"error_type" in found:
        assert json.loads(found.partition(b"\r\n\r\n")[2])["error_type"] == "wrong_host"
    return int(found.split()[1])


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "127.0.0.1:80", "A.example.org", "a.b.example.org."]
    )
    def test_that_are_allowed(self, server, host):
        assert status(server, host) == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "example.org", "evilexample.org", "127.0.0.1.evil.example", "[::1]", ""],
    )
    def test_that_are_not(self, server, host):
        assert status(server, host) == 421
        assert status(server, host, "/v2/health/ready") == 200
