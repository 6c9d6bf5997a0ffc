"""What clients ask for their own requests: deadlines and classes of priority."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from mlmfast.serving.http.app import build_app
from mlmfast.serving.http.service import Service
from mlmfast.serving.http.settings import ModelSource, ServeSettings
from mlmfast.serving.scheduler.scheduler import Scheduler

BODY = {"inputs": "paris is the <mask> of france"}
KEY = {"authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def folder(tiny_model):
    return tiny_model("roberta").onnx


@pytest.fixture
def ask(folder, monkeypatch):
    """Return a function that asks a new application; it has the shares of all requests."""
    services = []
    submit = Scheduler.submit

    def shared(self, texts, task, *share):
        ask_app.shares += share
        return submit(self, texts, task, *share)

    monkeypatch.setattr(Scheduler, "submit", shared)
    monkeypatch.setattr("mlmfast.serving.http.registry._warm_up", lambda *_: None)

    def ask_app(*, headers, api_keys=(), path="/v1/fill-mask", **settings):
        service = Service(
            ServeSettings(
                (ModelSource("one", folder),), device="cpu", api_keys=api_keys, **settings
            ),
            1,
            lambda: None,
        )
        services.append(service)
        service.models.load()

        async def post():
            transport = httpx.ASGITransport(build_app(service))
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await client.post(path, json=BODY, headers=headers)

        return asyncio.run(post())

    ask_app.shares = []
    yield ask_app
    for service in services:
        service.models.abandon()


@pytest.mark.parametrize(
    ("own", "servers", "told"),
    [
        ("0.000000001", 300, "within 1e-09 s"),
        ("2e-9", 300, "within 2e-09 s"),
        ("10000", 0.01, "within 0.01 s"),
    ],
)
def test_the_shorter_time_counts(ask, monkeypatch, own, servers, told):
    # A request that nobody answers.
    monkeypatch.setattr(Scheduler, "_run", lambda *_: None)
    answer = ask(headers={"x-request-timeout": own}, request_timeout=servers)
    assert answer.status_code == 504
    assert told in answer.json()["error"]


@pytest.mark.parametrize("value", ["0", "0e-1", "1e-10", "-1", "soon", "1e9", "nan", "1 s", ""])
def test_times_that_mean_nothing(ask, value):
    answer = ask(headers={"x-request-timeout": value})
    assert answer.status_code == 400
    assert "X-Request-Timeout must be a number of seconds" in answer.json()["error"]


def test_a_class_is_for_those_with_a_key(ask):
    assert ask(headers=KEY | {"x-priority": "High"}, api_keys=("other", "secret")).is_success
    assert (ask.shares[-1].client, ask.shares[-1].weight) == ("key default-2", 4)
    assert ask(headers=KEY, api_keys=("secret",)).is_success
    assert (ask.shares[-1].client, ask.shares[-1].weight) == ("key default", 1)
    assert ask(headers={"x-priority": "high"}).is_success
    assert (ask.shares[-1].client, ask.shares[-1].weight) == ("127.0.0.1", 1)
    wrong = ask(headers=KEY | {"x-priority": "urgent"}, api_keys=("secret",))
    assert wrong.status_code == 400
    assert "high, normal, low" in wrong.json()["error"]
