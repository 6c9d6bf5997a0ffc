"""`mlmfast.serving.ray` on two nodes of this machine; one is killed under load, and a replica."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mlmfast.errors import InputError
from mlmfast.serving.fill_mask import FillMask
from ray_programs import begun, environment
from tolerances import LAYERS

NAME = f"test-{os.getpid()}"
CLIENTS = 8
PATIENCE = 300
TEXTS = [f"{word} is the <mask> of {place}" for word in ("paris", "berlin") for place in "abcdefgh"]


@dataclass
class Served:
    """An application of two replicas, which `serve run` has begun.

    Attributes:
        url: its address.
        command: the process of `serve run`.
        cluster: that of ray_serving.py.
        errors: what the latter has written to standard error.
        logs: the folder of Ray's logs.
    """

    url: str
    command: subprocess.Popen
    cluster: subprocess.Popen
    errors: Path
    logs: Path

    def wait_until(self, true):
        """Wait for a state; where it does not come, the test fails with what Ray wrote last."""
        end = time.monotonic() + PATIENCE
        while not true():
            assert not threading.Event().wait(0.1)
            if time.monotonic() > end:
                pytest.fail(f"{PATIENCE} s are over: {replicas()}\n{last_lines(self.logs)}")

    def tell(self, **what):
        """Have ray_serving.py do something, and return its answer."""
        self.cluster.stdin.write(json.dumps(what) + "\n")
        self.cluster.stdin.flush()
        said = next((line for line in self.cluster.stdout if line.startswith("answer ")), None)
        assert said is not None, self.errors.read_text()
        return json.loads(said.removeprefix("answer "))

    def ask(self, method="fill_mask", **arguments):
        """Ask by a handle."""
        return self.tell(ask=[method, arguments])


@pytest.fixture(scope="module")
def serving(one_cluster, tiny_model, tmp_path_factory):  # noqa: ARG001 (held meanwhile)
    """A function that gives the application, begun where it does not run."""
    pytest.importorskip("ray.serve", reason="Ray Serve is not installed")
    httpx = pytest.importorskip("httpx")
    folder = tmp_path_factory.mktemp("cluster")
    log, errors = folder / "serve-run.txt", folder / "stderr.txt"
    # As docs/deployment.md has it.
    command = [
        *(str(Path(sys.executable).with_name("serve")), "run", "mlmfast.serving.ray:app"),
        *(f"model={tiny_model('roberta').onnx}", "replicas=2", "max_delay_ms=20"),
    ]
    with (
        begun("ray_serving.py", NAME, said="serving", errors=errors) as cluster,
        log.open("w") as output,
    ):
        program, (address, url, logs) = cluster
        running: list[Served] = []

        def ready():
            assert running[-1].command.poll() is None, log.read_text()
            return httpx.get(f"{url}/health", timeout=PATIENCE).status_code == 200

        def serve():
            if not running or running[-1].command.poll() is not None:
                if running:  # it has ended Ray Serve as well
                    running[-1].tell(start="serve")
                process = subprocess.Popen(
                    [*command, "--name", NAME],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment(RAY_ADDRESS=address),
                )
                running.append(Served(url, process, program, errors, Path(logs)))
                # The first replica answers before the second is there.
                running[-1].wait_until(lambda: ready() and len(replicas()) == 2)
            return running[-1]

        try:
            yield serve
        finally:
            for one in running:
                one.command.kill()
                one.command.wait()


@pytest.fixture
def served(serving):
    return serving()


@pytest.fixture(scope="module")
def fill_mask(tiny_model):
    return FillMask(tiny_model("roberta").onnx, threads=1)


def replicas():
    """The processes of the replicas, each with that of its node."""
    title = f"ray::ServeReplica:{NAME}:"
    return {
        process.pid: process.info["ppid"]
        for process in psutil.process_iter(["cmdline", "ppid"])
        if (process.info["cmdline"] or [""])[0].startswith(title)
    }


@pytest.mark.ray
def test_clients_of_the_server_are_clients_of_the_application(served, fill_mask):
    httpx = pytest.importorskip("httpx")
    assert len(set(replicas().values())) == 2  # one on each node
    # What `huggingface_hub.InferenceClient.fill_mask` sends.
    asked = {"inputs": TEXTS[0], "parameters": {"top_k": 3}}
    rows = httpx.post(served.url, json=asked, timeout=PATIENCE).json()
    expected = fill_mask(TEXTS[0], top_k=3)
    assert [row["token"] for row in rows] == [row["token"] for row in expected]
    assert httpx.get(f"{served.url}/health", timeout=PATIENCE).json() == {"status": "ready"}
    assert (
        "<textarea" in httpx.get(served.url, headers={"Accept": "text/html"}, timeout=PATIENCE).text
    )
    refused = httpx.post(
        f"{served.url}/v1/fill-mask", json={"inputs": "a [MASK]"}, timeout=PATIENCE
    )
    assert refused.status_code == 422
    assert "write <mask> for [MASK]" in refused.json()["error"]


@pytest.mark.ray
def test_by_a_handle(served, fill_mask):
    answers = served.ask(texts=TEXTS[:3], top_k=2)
    expected = fill_mask(TEXTS[:3], top_k=2)
    assert [[row["token"] for row in rows] for rows in answers] == [
        [row["token"] for row in rows] for rows in expected
    ]
    assert len(served.ask(texts=TEXTS[0])) == 1
    assert served.ask(texts=[]) == []
    assert served.ask(texts="a [MASK]")["error"] == "NoMaskError"
    assert served.ask(texts="a <mask>", model="other")["error"] == "InputError"


@pytest.mark.ray
def test_fillings_and_scores_by_a_handle(served, fill_mask):
    text = "<mask> is the <mask> of a"
    (filled,) = served.ask("fill", texts=text, top_k=2)
    assert [row["tokens"] for row in filled] == [
        row["tokens"] for row in fill_mask.fill(text, top_k=2)
    ]
    (scored,) = served.ask("score", texts="paris is a city")
    assert scored["score"] == pytest.approx(fill_mask.score("paris is a city"), rel=LAYERS)
    words = {"targets": [" city", "parisgalaxy"], "whole_targets": True}
    (rows,) = served.ask(texts=TEXTS[0], **words)
    expected = fill_mask(TEXTS[0], **words)
    assert [row["tokens"] for row in rows] == [row["tokens"] for row in expected]
    refused = served.ask("fill", texts=text, beams=10_000)
    assert refused["error"] == "InputError"
    assert "beams must be at most" in refused["said"]


class Load:
    """Clients that ask over HTTP without pause, and check what they get, until the block ends."""

    def __init__(self, served, fill_mask):
        self.lost, self.wrong, self.answered = [], [], []
        self._served = served
        self._expected = {text: [row["token"] for row in fill_mask(text)] for text in TEXTS}
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self, count):
        """Wait until so many more were answered."""
        enough = len(self.answered) + count
        self._served.wait_until(lambda: len(self.answered) > enough)

    def _client(self, turn):
        import httpx

        with httpx.Client(base_url=self._served.url, timeout=PATIENCE) as http:
            while not self._enough.is_set():
                text = TEXTS[turn % len(TEXTS)]
                response = http.post("/v1/fill-mask", json={"inputs": text})
                if response.status_code != 200:
                    self.lost.append(response.status_code)
                    continue  # with the same text
                rows = response.json()["answers"][0]["masks"][0]
                if [row["token"] for row in rows] != self._expected[text]:
                    self.wrong.append(text)
                self.answered.append(text)
                turn += 1


@pytest.mark.ray
def test_a_killed_replica_loses_what_it_had_in_hand_and_no_more(served, fill_mask):
    httpx = pytest.importorskip("httpx")

    def batches_are_shared():
        numbers = httpx.get(f"{served.url}/metrics", timeout=PATIENCE).text
        texts = sum_of(numbers, "mlmfast_batch_texts_sum")
        return texts > sum_of(numbers, "mlmfast_batch_texts_count") > 0

    with Load(served, fill_mask) as load:
        load.wait_for_answers(50)
        victim = min(replicas())
        os.kill(victim, signal.SIGKILL)
        served.wait_until(lambda: len(replicas().keys() - {victim}) == 2)
        load.wait_for_answers(50)
        # Requests that are in hand together share batches. The replica on the proxy's node gives
        # its numbers, and that may be the new one, whose process is there before it has work.
        served.wait_until(batches_are_shared)
    assert load.wrong == []
    assert len(load.lost) <= CLIENTS  # each of them has one request in hand
    assert set(load.lost) <= {500, 502, 503}


@pytest.mark.ray
def test_a_killed_node_loses_what_it_had_in_hand_and_another_takes_its_place(served, fill_mask):
    before = replicas()
    with Load(served, fill_mask) as load:
        load.wait_for_answers(50)
        served.tell(kill="node")
        served.wait_until(lambda: len(replicas()) == 1)
        load.wait_for_answers(50)
        assert replicas().keys() < before.keys()
        served.tell(add="node")
        served.wait_until(lambda: len(replicas()) == 2)
        load.wait_for_answers(50)
    assert load.wrong == []
    assert len(load.lost) <= CLIENTS
    assert set(load.lost) <= {500, 502, 503}
    assert len(set(replicas().values())) == 2


@pytest.mark.ray
def test_ctrl_c_ends_the_command_and_the_application(served):
    served.command.send_signal(signal.SIGINT)
    assert served.command.wait(PATIENCE) == 0
    served.wait_until(lambda: not replicas())


def last_lines(logs, count=15):
    """The ends of what Ray's own processes wrote, those that decide where replicas run."""
    found = [path for name in ("gcs_server.out", "raylet*.out") for path in logs.glob(name)]
    found += logs.glob("serve/controller*.log")
    shown = []
    for path in found:
        lines = path.read_text(errors="replace").splitlines()
        events = [line for line in lines if not line.startswith("[state-dump]")]
        shown += [f"== {path.name}", *events[-count:]]
    return "\n".join(shown)


def sum_of(numbers, name):
    return sum(float(line.split()[-1]) for line in numbers.splitlines() if line.startswith(name))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "model=onnx/"),
        ({"model": "m", "colour": "red"}, "There is no argument 'colour'; there is allowed_hosts"),
        ({"model": "m", "replicas": "many"}, "replicas is 'many'"),
        ({"model": "m", "replicas": "0"}, "replicas must be more than 0"),
        ({"model": "m", "replicas": "3", "max_replicas": "2"}, "max_replicas is 2"),
        ({"model": "m", "max_queue": "0"}, "max_queue must lie between"),
        ({"model": "m", "port": "80"}, "There is no argument 'port'"),
        ({"model": "m", "grpc_port": "80"}, "There is no argument 'grpc_port'"),
    ],
)
def test_arguments_are_checked_before_anything_is_deployed(arguments, said):
    from mlmfast.serving.ray import app

    with pytest.raises(InputError, match=said):
        app(arguments)


def test_without_ray_serve_it_is_named(tmp_path):
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from mlmfast.serving.ray import application\n"
        f"application({str(tmp_path)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'mlmfast[ray-serve,cpu]'" in done.stderr.splitlines()[-1]
