"""Answers in lines of JSON: for more texts than one request may have, with errors of their own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import http_client
from limited_server import TEXT, server, unharmed  # noqa: F401 (fixtures)
from mlmfast.serving.http.protocols.ndjson import AnswerStream
from mlmfast.serving.http.record import Record
from mlmfast.serving.http.service import Service
from mlmfast.serving.http.settings import ModelSource, ServeSettings
from mlmfast.serving.scheduler.queue import QueueFullError

LINES = {"accept": "application/x-ndjson"}


def asked(server, path="/v1/fill-mask", **body):
    return http_client.post(f"{server.url}{path}", json=body, headers=LINES)


def test_more_texts_than_a_request_may_have(server):
    texts = [TEXT, "no mask", f"{TEXT} <mask>"] * 40
    answer = asked(server, inputs=texts, top_k=1)
    assert answer.headers["content-type"] == "application/x-ndjson"
    *lines, end = map(json.loads, answer.iter_lines())
    assert [line["index"] for line in lines] == list(range(120))
    for text, line in zip(texts, lines, strict=True):
        if "<mask>" in text:
            assert len(line["masks"]) == text.count("<mask>")
        else:
            assert line["error_type"] == "no_mask"
    assert (end["end"], end["texts"]) == (True, 120)
    single = http_client.post(f"{server.url}/v1/fill-mask", json={"inputs": TEXT, "top_k": 1})
    assert lines[0]["masks"] == single.json()["answers"][0]["masks"]


def test_no_texts_are_no_lines(server):
    (end,) = map(json.loads, asked(server, inputs=[]).iter_lines())
    assert end["texts"] == 0


def test_what_is_wrong_with_all_of_it_is_an_ordinary_error(server):
    for body in ({"model": "other"}, {"top_k": -1}, {"order": "certain"}):
        answer = asked(server, inputs=[TEXT], **body)
        assert answer.status_code in (404, 422)
        assert answer.json()["error_type"] in ("no_such_model", "bad_input", "bad_request")


def test_a_client_that_leaves_leaves_nothing_in_the_queue(server):
    """`unharmed` waits until no text is in hand."""
    with (
        http_client.Client() as client,
        client.stream(
            "POST", f"{server.url}/v1/fill-mask", json={"inputs": [TEXT] * 1500}, headers=LINES
        ) as answer,
    ):
        assert json.loads(next(answer.iter_lines()))["index"] == 0


def test_scores_and_fillings_too(server):
    score, _ = map(json.loads, asked(server, "/v1/score", inputs=["paris is far"]).iter_lines())
    assert score["score"] < 0
    filled, _ = map(json.loads, asked(server, "/v1/fill", inputs=TEXT, top_k=2).iter_lines())
    assert len(filled["fillings"]) == 2


@pytest.mark.parametrize("timeout", [None, 1e9])
def test_no_client_waits_longer_than_the_server_allows(timeout, monkeypatch):
    settings = ServeSettings((ModelSource("x", Path("x")),), request_timeout=2.0)
    service = Service(settings, 1, lambda: None)
    asked = []

    async def full(_call, record):
        asked.append(record)
        raise QueueFullError("The queue is full.", 3)

    async def never(_seconds):
        raise AssertionError("It waits.")

    monkeypatch.setattr(service, "answer", full)
    monkeypatch.setattr(asyncio, "sleep", never)
    record = Record("1", timeout=timeout)
    stream = AnswerStream(service, record, [TEXT], lambda _texts: None, lambda _response: [])
    with pytest.raises(QueueFullError):
        asyncio.run(stream._answered([TEXT]))
    assert len(asked) == 1
