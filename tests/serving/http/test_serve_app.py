"""The application by itself: before a model is loaded, and its settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from mlmfast.errors import InputError
from mlmfast.serving.http.app import build_app
from mlmfast.serving.http.service import Service
from mlmfast.serving.http.settings import ModelSource, ServeSettings

MODELS = (ModelSource("one", Path("nowhere")), ModelSource("two", Path("nowhere")))


class Client:
    """Asks an application without a server."""

    def __init__(self, transport):
        self._transport = transport

    def request(self, method, path, **content):
        async def ask():
            async with httpx.AsyncClient(transport=self._transport, base_url="http://x") as one:
                return await one.request(method, path, **content)

        return asyncio.run(ask())

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, **content):
        return self.request("POST", path, **content)


@pytest.fixture
def service():
    return Service(ServeSettings(MODELS, device="cpu"), 1, lambda: None)


@pytest.fixture
def client(service):
    return Client(httpx.ASGITransport(build_app(service)))


@pytest.mark.parametrize("path", ["/health", "/v2/health/ready", "/v2/models/one/ready"])
def test_what_loads_is_not_ready(client, path):
    assert client.get(path).status_code == 503
    assert client.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", {"inputs": "a"}),
        ("/models/two", {"inputs": "a"}),
        ("/v1/fill-mask", {"inputs": "a", "targets": ["b"]}),
        ("/v1/fill", {"inputs": "a"}),
        ("/v1/score", {"inputs": "a"}),
        (
            "/v2/models/one/infer",
            {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}]},
        ),
    ],
)
def test_what_loads_answers_no_question(client, service, path, body):
    answer = client.post(path, json=body)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "is loading" in answer.json()["error"]
    service.draining = True
    answer = client.post(path, json=body)
    assert answer.status_code == 503
    assert "is stopping" in answer.json()["error"]
    assert answer.headers["connection"] == "close"
    assert service.in_hand == 0


def test_a_fault_of_ours_is_told_without_its_trace(client, service, monkeypatch):
    def broken(_name):
        raise RuntimeError("secret/path")

    monkeypatch.setattr(service.models, "get", broken)
    answer = client.post("/", json={"inputs": "a"})
    assert answer.status_code == 500
    assert answer.json()["error_type"] == "internal"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_infos_of_models_that_are_not_ready(client):
    told = client.get("/v1/models").json()["models"]
    assert told == [
        {"name": "one", "ready": False, "loads": 0},
        {"name": "two", "ready": False, "loads": 0},
    ]
    index = client.post("/v2/repository/index").json()
    assert [entry["state"] for entry in index] == ["UNAVAILABLE", "UNAVAILABLE"]


def test_every_documented_path_is_there(client):
    document = client.get("/openapi.json").json()
    page = client.get("/docs").text
    for path, methods in document["paths"].items():
        assert path in page
        for method in set(methods) - {"parameters"}:
            found = client.request(method, path.replace("{model}", "one"), content=b"{")
            assert found.status_code not in (404, 405), path


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"models": ()}, "At least one model"),
        ({"port": 70_000}, "port must lie between 0 and 65535"),
        ({"max_delay_ms": float("nan")}, "max_delay_ms"),
        ({"api_keys": ("schlüssel",)}, "ASCII"),
        ({"max_texts": 10, "max_queue": 9}, "a full request"),
        ({"spinning": "never"}, "spinning must be one of auto, on, off"),
    ],
)
def test_settings_that_mean_nothing(wrong, told):
    with pytest.raises(InputError, match=told):
        ServeSettings(**{"models": MODELS, **wrong})
