"""`mlmfast.serving.ray` on a local cluster: two replicas, one of which is killed under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlmfast.errors import InputError
from mlmfast.serving.fill_mask import FillMask

pytestmark = pytest.mark.usefixtures("one_cluster")
HERE = str(Path(__file__).parent)
NAME = f"test-{os.getpid()}"
CLIENTS = 8
TEXTS = [f"{word} is the <mask> of {place}" for word in ("paris", "berlin") for place in "abcdefgh"]


@pytest.fixture(scope="module")
def served(tiny_model):
    """An application of two replicas: its address, and a function that asks by a handle."""
    pytest.importorskip("ray.serve", reason="Ray Serve is not installed")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), HERE]),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Five seconds, otherwise: on a busy machine a proxy is killed while it begins.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    }
    model = f"model={tiny_model('roberta').onnx}"
    program = [sys.executable, str(Path(HERE) / "ray_serving.py"), NAME, model]
    with subprocess.Popen(
        [*program, "replicas=2", "max_delay_ms=20"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        url = next(line for line in process.stdout if line.startswith("url ")).split()[1]

        def ask(**arguments):
            process.stdin.write(json.dumps(arguments) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield SimpleNamespace(url=url, ask=ask)
        process.stdin.close()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def fill_mask(tiny_model):
    return FillMask(tiny_model("roberta").onnx, threads=1)


def replicas():
    """The processes of the replicas, by what Ray calls them."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if title.startswith(f"ray::ServeReplica:{NAME}:".encode()):
            found.add(int(folder.name))
    return found


def test_clients_of_the_server_are_clients_of_the_application(served, fill_mask):
    httpx = pytest.importorskip("httpx")
    assert len(replicas()) == 2
    # What `huggingface_hub.InferenceClient.fill_mask` sends.
    asked = {"inputs": TEXTS[0], "parameters": {"top_k": 3}}
    rows = httpx.post(served.url, json=asked).json()
    expected = fill_mask(TEXTS[0], top_k=3)
    assert [row["token"] for row in rows] == [row["token"] for row in expected]
    assert httpx.get(f"{served.url}/health").json() == {"status": "ready"}
    assert "<textarea" in httpx.get(served.url, headers={"Accept": "text/html"}).text
    refused = httpx.post(f"{served.url}/v1/fill-mask", json={"inputs": "a [MASK]"})
    assert refused.status_code == 422
    assert "write <mask> for [MASK]" in refused.json()["error"]


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


def test_a_killed_replica_loses_what_it_had_in_hand_and_no_more(served, fill_mask):
    httpx = pytest.importorskip("httpx")
    expected = {text: [row["token"] for row in fill_mask(text)] for text in TEXTS}
    lost, wrong, answered = [], [], []
    enough = threading.Event()

    def client(number):
        with httpx.Client(base_url=served.url, timeout=60) as http:
            turn = number
            while not enough.is_set():
                text = TEXTS[turn % len(TEXTS)]
                response = http.post("/v1/fill-mask", json={"inputs": text})
                if response.status_code != 200:
                    lost.append(response.status_code)
                    continue  # with the same text
                rows = response.json()["answers"][0]["masks"][0]
                if [row["token"] for row in rows] != expected[text]:
                    wrong.append(text)
                answered.append(text)
                turn += 1

    before = replicas()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answered) > 50)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(replicas() - {victim}) == 2)
    more = len(answered) + 50
    wait_until(lambda: len(answered) > more)
    enough.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(lost) <= CLIENTS  # each of them has one request in hand
    assert set(lost) <= {500, 502, 503}
    # Requests that are in hand together share batches.
    numbers = httpx.get(f"{served.url}/metrics").text
    texts = sum_of(numbers, "mlmfast_batch_texts_sum")
    assert texts > sum_of(numbers, "mlmfast_batch_texts_count") > 0


def wait_until(true):
    waiting = threading.Condition()
    with waiting:
        assert waiting.wait_for(true, timeout=0) or any(
            waiting.wait(0.1) or true() for _ in range(1000)
        )


def sum_of(numbers, name):
    return sum(float(line.split()[-1]) for line in numbers.splitlines() if line.startswith(name))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "model=onnx/"),
        ({"model": "m", "colour": "red"}, "There is no argument 'colour'; there is api_keys"),
        ({"model": "m", "replicas": "many"}, "replicas is 'many'"),
        ({"model": "m", "replicas": "0"}, "replicas must be more than 0"),
        ({"model": "m", "replicas": "3", "max_replicas": "2"}, "max_replicas is 2"),
        ({"model": "m", "max_queue": "0"}, "max_queue must lie between"),
        ({"model": "m", "port": "80"}, "There is no argument 'port'"),
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
