"""What HTTP leaves to clients: offers of other protocols, `Expect`, codings, hosts and methods."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
import zlib

import pytest

import http_client
from limited_server import BODY, LIMIT, post, raw, server, unharmed  # noqa: F401 (fixtures)
from raw_http import rest
from serving import PATIENCE

CLOSE = b"Connection: close\r\n"


def request(
    *lines: bytes, method: bytes = b"POST", path: bytes = b"/", body: bytes = BODY
) -> bytes:
    head = [method + b" " + path + b" HTTP/1.1", b"Host: x", *lines]
    if body:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, b"", body])


def answers(found: bytes) -> list[tuple[int, bytes]]:
    """Split what came over one connection into the status and body of each response."""
    parts = []
    while found:
        head, _, found = found.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", b"0"))
        parts.append((int(head.split()[1]), found[:length]))
        found = found[length:]
    return parts


OFFERS = {
    "h2c": [
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA",
    ],
    "websocket": [
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ],
    "tls": [b"connection: keep-alive, upgrade", b"upgrade: TLS/1.2, h2c"],
}


class TestUpgrades:
    """The server answers as if nothing had been offered."""

    @pytest.fixture(params=list(OFFERS))
    def offer(self, request):
        return OFFERS[request.param]

    @pytest.fixture(scope="class")
    def expected(self, server):
        return post(server, BODY).json()

    def test_a_post(self, server, offer, expected):
        last = request(b"Connection: close")
        (status, body), second = answers(raw(server, request(*offer) + last))
        assert status == second[0] == 200
        assert json.loads(body) == expected

    def test_a_post_that_comes_byte_by_byte(self, server, offer, expected):
        with socket.create_connection(server.address, timeout=PATIENCE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sent = request(*offer)
            for start in range(0, len(sent), 7):
                connection.sendall(sent[start : start + 7])
            connection.sendall(request(b"Connection: close"))
            first, second = answers(rest(connection))
        assert json.loads(first[1]) == json.loads(second[1]) == expected

    def test_a_post_in_chunks(self, server, offer, expected):
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
        first = request(*offer, b"Transfer-Encoding: chunked", body=b"") + chunks
        (status, body), _ = answers(raw(server, first + request(CLOSE.strip())))
        assert (status, json.loads(body)) == (200, expected)

    def test_many_gets_after_each_other(self, server, offer):
        get = request(*offer, method=b"GET", path=b"/health", body=b"")
        last = request(b"Connection: close", method=b"GET", path=b"/health", body=b"")
        found = answers(raw(server, get * 50 + last))
        assert [status for status, _ in found] == [200] * 51

    def test_connect_is_refused(self, server):
        found = raw(server, b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n")
        assert found.startswith(b"HTTP/1.1 501")


class TestExpect:
    def ask(self, server, *lines: bytes, length: int = len(BODY)):
        """Send headers alone, and return the connection."""
        connection = socket.create_connection(server.address, timeout=PATIENCE)
        lengths = b"Content-Length: %d" % length
        connection.sendall(request(b"Expect: 100-continue", lengths, *lines, body=b""))
        return connection

    def test_a_body_that_may_come(self, server):
        with self.ask(server) as connection:
            assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(BODY)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")

    @pytest.mark.parametrize(
        ("line", "length", "status"),
        [
            (b"Accept: */*", LIMIT + 1, b"413"),
            (b"Content-Type: text/plain", len(BODY), b"415"),
        ],
    )
    def test_a_body_that_is_refused_before_it_comes(self, server, line, length, status):
        """The connection ends: the client may send the body after all, or not."""
        with self.ask(server, line, length=length) as connection:
            found = rest(connection)
        assert found.startswith(b"HTTP/1.1 " + status)
        assert b"connection: close" in found


class TestCodings:
    @pytest.mark.parametrize(
        ("accepted", "coding"),
        [
            ("gzip", "gzip"),
            ("gzip, deflate, br", "gzip"),
            ("gzip;q=0.2, deflate;q=0.8", "deflate"),
            ("deflate", "deflate"),
            ("*", "gzip"),
            ("gzip;q=0", None),
            ("gzip;q=0, *", "deflate"),
            ("gzip; q=0.000, deflate;q=0", None),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("*;q=0", None),
            ("br, gzipped", None),
            ("gzip;q=x", None),
        ],
    )
    def test_of_an_answer(self, server, accepted, coding):
        body = json.dumps({"inputs": "<mask>", "parameters": {"top_k": 100}}).encode()
        answer = post(server, body, **{"accept-encoding": accepted})
        assert answer.headers.get("content-encoding") == coding
        assert answer.headers["vary"] == "Accept-Encoding"
        assert len(answer.json()) == 100

    def packed(self, server, body: bytes) -> int:
        return post(server, body, **{"content-encoding": "gzip"}).status_code

    def test_of_a_body_of_several_members(self, server):
        members = b"".join(gzip.compress(BODY[at : at + 5]) for at in range(0, len(BODY), 5))
        assert self.packed(server, members) == 200
        assert self.packed(server, gzip.compress(BODY) + bytes(9000)) == 200
        assert self.packed(server, members[:-1]) == 400
        assert self.packed(server, members + b"junk") == 400
        parts = gzip.compress(bytes(LIMIT // 2)), gzip.compress(bytes(LIMIT // 2 + 1))
        assert self.packed(server, b"".join(parts)) == 413

    def test_of_a_body_of_many_members(self, server):
        empty = zlib.compressobj(wbits=31).flush()
        assert self.packed(server, gzip.compress(BODY) + empty * 3_000) == 200

    def test_of_a_body_without_any(self, server):
        assert post(server, BODY, **{"content-encoding": "identity"}).status_code == 200

    def test_trailers_that_a_client_would_take(self, server):
        assert post(server, BODY, te="trailers").status_code == 200


class TestHosts:
    def test_none(self, server):
        found = raw(server, b"GET /health HTTP/1.1\r\n\r\n")
        assert found.startswith(b"HTTP/1.1 400")

    def test_none_in_the_old_version(self, server):
        found = raw(server, b"GET /health HTTP/1.0\r\n\r\n")
        assert found.startswith(b"HTTP/1.1 200")

    @pytest.mark.parametrize("second", [b"x", b"evil.example"])
    def test_two(self, server, second):
        found = raw(server, request(b"Host: " + second))
        assert found.startswith(b"HTTP/1.1 400")
        assert b'"error_type":"bad_host"' in found


class TestMethods:
    @pytest.mark.parametrize(
        ("path", "methods"),
        [
            ("/", "GET, HEAD, OPTIONS, POST"),
            ("/v1/fill-mask", "OPTIONS, POST"),
            ("/v2/models/onnx/infer", "OPTIONS, POST"),
            ("/health", "GET, HEAD, OPTIONS"),
        ],
    )
    def test_a_path_says_what_it_allows(self, server, path, methods):
        refused = http_client.request("DELETE", server.url + path)
        assert (refused.status_code, refused.headers["allow"]) == (405, methods)
        told = http_client.options(server.url + path)
        assert (told.status_code, told.headers["allow"], told.content) == (204, methods, b"")

    def test_options_of_a_path_that_is_not_there(self, server):
        assert http_client.options(f"{server.url}/nowhere").status_code == 404

    @pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/v2", "/v1/models", "/docs"])
    def test_head(self, server, path):
        get = request(CLOSE.strip(), method=b"GET", path=path.encode(), body=b"")
        found = raw(server, get.replace(b"GET", b"HEAD", 1))
        head, _, body = found.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert body == b""
        assert b"content-length: " in head

    def test_head_of_what_takes_a_post_alone(self, server):
        found = raw(server, request(CLOSE.strip(), method=b"HEAD", path=b"/v1/fill-mask", body=b""))
        assert found.startswith(b"HTTP/1.1 405")


class TestTypes:
    @pytest.mark.parametrize("kind", ["text/plain;charset=UTF-8", "TEXT/HTML", "multipart/mixed"])
    def test_that_browsers_send_to_other_sites_are_refused(self, server, kind):
        answer = post(server, BODY, **{"content-type": kind})
        assert answer.status_code == 415
        assert "application/json" in answer.json()["error"]

    @pytest.mark.parametrize(
        "kind", [None, "application/json", "application/x-www-form-urlencoded"]
    )
    def test_of_clients_are_taken(self, server, kind):
        """Hugging Face's client sends none, and `curl -d` that of a form."""
        assert post(server, BODY, **({"content-type": kind} if kind else {})).status_code == 200


JAVA = """
import java.net.URI;
import java.net.http.*;

public class Ask {
    public static void main(String[] arguments) throws Exception {
        var body = HttpRequest.BodyPublishers.ofString(arguments[1]);
        var request = HttpRequest.newBuilder(URI.create(arguments[0])).POST(body).build();
        var client = HttpClient.newHttpClient();
        for (int time = 0; time < 2; time++) {
            var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
"""
NODE = """
const [url, body] = process.argv.slice(1);
for (const headers of [{}, { Expect: "100-continue" }]) {
  await new Promise((done) => {
    const http = process.getBuiltinModule("http");
    const asked = http.request(url, { method: "POST", headers }, async (answer) => {
      console.log(answer.statusCode, await new Response(answer).text());
      done();
    });
    if (headers.Expect) asked.on("continue", () => asked.end(body));
    else asked.end(body);
  });
}
"""


class TestClients:
    """Programs of other languages, with the headers that they send by default."""

    def lines(self, *command: str) -> list[str]:
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        found = subprocess.run(
            command, capture_output=True, check=False, text=True, timeout=PATIENCE
        )
        assert found.returncode == 0, found.stderr
        return found.stdout.splitlines()

    def expected(self, server, status: str = "200 ") -> str:
        return f"{status}{post(server, BODY).text}"

    def test_java(self, server, tmp_path):
        program = tmp_path / "Ask.java"
        program.write_text(JAVA, encoding="utf-8")
        found = self.lines("java", str(program), server.url, BODY.decode())
        assert found == [self.expected(server)] * 2

    def test_node(self, server):
        found = self.lines("node", "--input-type=module", "-e", NODE, server.url, BODY.decode())
        assert found == [self.expected(server)] * 2

    @pytest.mark.parametrize(
        "options", [["--http2"], ["--http1.0"], ["-H", "Expect: 100-continue"], ["--compressed"]]
    )
    def test_curl(self, server, options):
        found = self.lines("curl", "-sS", *options, server.url, "-d", BODY.decode())
        assert found == [self.expected(server, "")]
