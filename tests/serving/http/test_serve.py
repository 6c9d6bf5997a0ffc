"""Operations of a server that runs: loading, health, metrics, logs, keys, draining, reloading."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import psutil
import pytest

import http_client
from mlmfast.serving.fill_mask import FillMask
from serving import PATIENCE, begun, until

TEXT = "paris is the <mask> of france"
BODY = {"inputs": TEXT}


@pytest.fixture(scope="module")
def onnx(tiny_model):
    return tiny_model("roberta").onnx


@pytest.fixture(scope="module")
def server(onnx):
    with begun(str(onnx), "--cors-origin", "https://example.org") as one:
        yield one


def test_it_says_where_and_binds_to_this_machine_alone(server):
    assert server.lines[0] == f"Serving on {server.url}"
    assert server.url.startswith("http://127.0.0.1:")


def test_health(server):
    assert http_client.get(f"{server.url}/health").json() == {"status": "ready"}
    assert http_client.get(f"{server.url}/v2/health/live").status_code == 200
    assert http_client.get(f"{server.url}/v2/health/ready").status_code == 200


def test_info(server):
    told = http_client.get(f"{server.url}/info").json()
    assert told["models"][0]["mask_token"] == "<mask>"
    assert told["limits"]["max_texts"] == 128
    assert told["limits"]["max_passes"] == 1024


def test_metrics_count_requests_batches_and_failures(server):
    before = server.metric("mlmfast_requests_total", status="200", protocol="v1")
    failed = server.metric("mlmfast_failures_total", reason="no_mask")
    texts = server.metric("mlmfast_texts_total")
    batches = server.metric("mlmfast_batch_texts_sum")
    http_client.post(f"{server.url}/v1/fill-mask", json={"inputs": [TEXT, TEXT + " and germany"]})
    http_client.post(f"{server.url}/v1/fill-mask", json={"inputs": "no mask"})
    assert server.metric("mlmfast_requests_total", status="200", protocol="v1") == before + 1
    assert server.metric("mlmfast_failures_total", reason="no_mask") == failed + 1
    assert server.metric("mlmfast_texts_total") == texts + 2
    assert server.metric("mlmfast_batch_texts_sum") == batches + 2
    assert server.metric("mlmfast_model_ready", model="onnx") == 1
    for name in ("queue_seconds", "inference_seconds", "batch_tokens", "batch_padding_ratio"):
        assert server.metric(f"mlmfast_{name}_count", model="onnx") > 0
    assert server.metric("mlmfast_texts_in_hand") == 0


def test_ids_go_through_to_the_answer_and_the_log(server):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"x-request-id": "order-66", "traceparent": trace}
    answer = http_client.post(server.url, json=BODY, headers=headers)
    assert answer.headers["x-request-id"] == "order-66"
    assert answer.headers["traceparent"] == trace

    def logged():
        return [line for line in server.log() if line.get("request_id") == "order-66"]

    until(logged)
    (line,) = logged()
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert (line["status"], line["model"], line["texts"]) == (200, "onnx", 1)
    assert line["tokens"] > 0
    assert TEXT not in json.dumps(line)


@pytest.mark.parametrize("bad", ["a b", "x" * 200, "new\tline", 'quote"'])
def test_ids_that_could_harm_a_log_are_replaced(server, bad):
    answer = http_client.post(
        server.url, json=BODY, headers={"x-request-id": bad, "traceparent": bad}
    )
    assert answer.headers["x-request-id"] != bad
    assert "traceparent" not in answer.headers


def test_only_the_origins_that_were_named_may_ask(server):
    asked = {"access-control-request-method": "POST"}
    allowed = http_client.options(server.url, headers={"origin": "https://example.org", **asked})
    assert allowed.headers["access-control-allow-origin"] == "https://example.org"
    refused = http_client.options(server.url, headers={"origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in refused.headers


def test_a_page_and_paths_that_are_not_there(server):
    answer = http_client.get(f"{server.url}/etc/passwd")
    assert answer.status_code == 404
    assert answer.json()["error_type"] == "no_such_path"
    assert http_client.get(f"{server.url}/v1/fill-mask").status_code == 405
    assert http_client.post(f"{server.url}/models/..%2f..%2fetc", json=BODY).status_code == 404
    assert http_client.get(f"{server.url}/v2/models/none").json() == {
        "error": "There is no model 'none': this server has onnx."
    }


def test_no_model_is_loaded_without_a_key(server):
    answer = http_client.post(f"{server.url}/v2/repository/models/onnx/load")
    assert answer.status_code == 403


def test_a_key_is_asked_for_where_there_is_one(onnx, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text("first\nsecond\n", encoding="utf-8")
    with begun(str(onnx), "--api-key-file", str(keys)) as server:
        for given in ({}, {"authorization": "Bearer third"}, {"authorization": "Basic first"}):
            answer = http_client.post(server.url, json=BODY, headers=given)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        for key in ("first", "second"):
            headers = {"authorization": f"Bearer {key}"}
            assert http_client.post(server.url, json=BODY, headers=headers).status_code == 200
        for public in ("/health", "/metrics", "/v2/health/ready", "/docs", "/openapi.json"):
            assert http_client.get(server.url + public).status_code == 200
        for closed in ("/info", "/v1/models", "/v2", "/v2/models/onnx"):
            assert http_client.get(server.url + closed).status_code == 401
        assert not any("first" in line for line in server.lines)


def test_requests_are_answered_while_a_model_is_loaded_anew(tiny_model, onnx, tmp_path):
    """The folder is a link: after the signal the other model answers, and no request fails."""
    link = tmp_path / "current"
    link.symlink_to(onnx)
    with begun(str(link)) as server:
        statuses, stop = [], threading.Event()

        def keep_asking():
            with http_client.Client() as client:
                while not stop.is_set():
                    statuses.append(client.post(server.url, json={"inputs": "a"}).status_code)
                    asked = client.get(f"{server.url}/v1/models").json()["models"][0]
                    text = f"paris is the {asked['mask_token']} of france"
                    statuses.append(client.post(server.url, json={"inputs": text}).status_code)

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(keep_asking) for _ in range(4)]
            other = tmp_path / "other"
            other.symlink_to(tiny_model("distilbert").onnx)
            other.replace(link)
            server.process.send_signal(signal.SIGHUP)
            until(lambda: server.metric("mlmfast_reloads_total", result="loaded") == 2)
            stop.set()
            for each in asking:
                each.result()
        # 422: the mask of the one model, read by the other, or none at all.
        assert set(statuses) <= {200, 422}
        answer = http_client.post(server.url, json={"inputs": "paris is the [MASK] of france"})
        expected = FillMask(tiny_model("distilbert").onnx, device="cpu")(
            "paris is the [MASK] of france"
        )
        assert [row["token"] for row in answer.json()] == [row["token"] for row in expected]
        # A folder that cannot be read changes nothing.
        link.unlink()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.metric("mlmfast_reloads_total", result="failed") == 1)
        assert http_client.get(f"{server.url}/health").status_code == 200


def test_a_sigterm_under_load_drops_nothing_that_was_taken(onnx):
    """Each request that reached the server got its answer; it says 503 or 200, and ends with 0."""
    with begun(str(onnx)) as server:
        answers: list[int] = []

        def keep_asking():
            with http_client.Client() as client:
                while True:
                    try:
                        answer = client.post(server.url, json={"inputs": [TEXT] * 50})
                    except httpx.TransportError:  # nobody listens any more
                        return
                    answers.append(answer.status_code)
                    assert answer.status_code == 503 or len(answer.json()) == 50

        with ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(keep_asking) for _ in range(8)]
            until(lambda: len(answers) > 30)
            assert server.stop() == 0
            for each in asking:
                each.result()
        until(lambda: not server.reading)
        taken = [line["status"] for line in server.log() if line["event"] == "request"]
        assert sorted(taken) == sorted(answers)
        assert set(answers) <= {200, 503}


def test_what_is_not_answered_in_time_fails_when_the_server_ends(onnx):
    arguments = [str(onnx), "--drain-seconds", "0.2", "--body-timeout", "60"]
    with begun(*arguments) as server, socket.create_connection(server.address) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        until(lambda: http_client.get(f"{server.url}/health").status_code == 200)
        assert server.stop() == 0


def test_readiness_ends_before_the_server_does(onnx):
    with begun(str(onnx), "--body-timeout", "60") as server:
        with socket.create_connection(server.address) as slow:
            body = json.dumps(BODY).encode()
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            slow.sendall(head + body[:5])
            until(lambda: server.metric("mlmfast_model_ready") == 1)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: http_client.get(f"{server.url}/health").status_code == 503)
            assert http_client.get(f"{server.url}/v2/health/live").status_code == 200
            refused = http_client.post(server.url, json=BODY)
            assert refused.status_code == 503
            assert refused.json()["error_type"] == "draining"
            assert "retry-after" in refused.headers
            slow.sendall(body[5:])
            assert slow.recv(65536).startswith(b"HTTP/1.1 200")
        assert server.process.wait(PATIENCE) == 0


def test_ctrl_c_is_told_apart(onnx):
    with begun(str(onnx)) as server:
        assert server.stop(signal.SIGINT) == 130


def test_a_folder_that_cannot_be_opened_ends_the_server(onnx, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(onnx, broken)
    (broken / "tokenizer.json").write_text("{}", encoding="utf-8")
    with begun(str(broken), ready=False) as server:
        assert server.process.wait(PATIENCE) == 2
        until(lambda: any("no tokenizer that can be read" in line for line in server.lines))
        assert not any("Traceback" in line for line in server.lines)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{onnx}", "a={onnx}", "a={onnx}"], "Two models are called 'a'"),
        (["{onnx}", "--workers", "0"], "workers must lie between"),
        (["{onnx}", "--max-texts", "9", "--max-queue", "8"], "a full request"),
        (["{onnx}", "--api-key-file", "/nowhere"], "no file of keys"),
        (["{onnx}", "--host", "256.0.0.1"], "cannot listen on 256.0.0.1"),
        (["/nowhere/at/all"], "There is no folder"),
    ],
)
def test_what_cannot_be_served_is_told_at_once(onnx, arguments, told):
    command = [sys.executable, "-m", "mlmfast", "serve", "--port", "0"]
    command += [argument.format(onnx=onnx) for argument in arguments]
    found = subprocess.run(command, capture_output=True, check=False, text=True, timeout=PATIENCE)
    assert found.returncode == 2
    assert told in found.stderr
    assert "Traceback" not in found.stderr


class TestWorkers:
    @pytest.fixture(scope="class")
    def server(self, onnx):
        with begun(str(onnx), "--workers", "2", "--threads", "2", ready=False) as one:
            until(lambda: self.ready(one) == 2)
            yield one

    def children(self, server):
        """Its workers: those of its processes that listen."""
        found = []
        for child in psutil.Process(server.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it has just ended
                if any(c.status == psutil.CONN_LISTEN for c in child.net_connections()):
                    found.append(child)
        return found

    def ready(self, server):
        """How many workers were ready so far."""
        return sum(line["event"] == "ready" for line in server.log())

    def loaded(self, server):
        """How often one of them has loaded the model so far."""
        return sum("is ready after" in line["event"] for line in server.log())

    def test_metrics_are_those_of_all(self, server):
        before = server.metric("mlmfast_requests_total", status="200")
        seen = len(server.log())

        def one(_):
            return http_client.post(server.url, json={"inputs": [TEXT] * 20}).status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(one, range(64))) == {200}
        assert server.metric("mlmfast_requests_total", status="200") == before + 64
        assert server.metric("mlmfast_model_ready") == 2
        processes = {line["process"] for line in server.log()[seen:] if line.get("status") == 200}
        assert len(processes) == 2

    def test_a_worker_that_is_killed_is_begun_again(self, server):
        before = self.ready(server)
        first, _ = self.children(server)
        first.kill()
        until(lambda: self.ready(server) == before + 1)
        assert len(self.children(server)) == 2
        assert all(http_client.post(server.url, json=BODY).status_code == 200 for _ in range(20))

    def test_all_load_anew(self, server):
        before = self.loaded(server)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: self.loaded(server) == before + 2)
        assert http_client.post(server.url, json=BODY).status_code == 200

    def test_a_sigterm_ends_all(self, onnx):
        with begun(str(onnx), "--workers", "2", ready=False) as server:
            until(lambda: self.ready(server) == 2)
            children = self.children(server)
            assert server.stop() == 0
            until(lambda: not any(child.is_running() for child in children))

    def test_none_outlives_the_first_process(self, onnx):
        with begun(str(onnx), "--workers", "2", ready=False) as server:
            until(lambda: any(line.get("event") == "ready" for line in server.log()))
            children = self.children(server)
            os.kill(server.process.pid, signal.SIGKILL)
            psutil.wait_procs(children, timeout=PATIENCE)
            assert not any(child.is_running() for child in children)

    def test_a_model_that_cannot_be_loaded_ends_all(self, onnx, tmp_path):
        broken = tmp_path / "broken"
        shutil.copytree(onnx, broken)
        (broken / "tokenizer.json").write_text("{}", encoding="utf-8")
        with begun(str(broken), "--workers", "2", ready=False) as server:
            assert server.process.wait(PATIENCE) == 2
            until(lambda: any("no tokenizer that can be read" in line for line in server.lines))
