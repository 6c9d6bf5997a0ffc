"""POST /v1/fill, /v1/score and whole targets: the answers of FillMask, beside ordinary requests."""

from __future__ import annotations

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from mlmfast.serving.fill_mask import FillMask
from scheduling import near
from serving import PATIENCE, begun, until

MASKS = ("paris is the <mask> of <mask>", "a <mask> galaxy", "<mask> way is <mask> <mask>")
WORDS = ("paris is the capital of france", "far !", "the galaxyparis contains our solar system")
TARGETS = (" galaxyparis", " city", "berlin")
# Some 6,500 tokens, each of which is a pass of the model.
MUCH = [f"{'way ' * 50}{number}" for number in range(128)]


@pytest.fixture(scope="module")
def models(tiny_model):
    return tiny_model("roberta"), tiny_model("bert")


@pytest.fixture(scope="module")
def server(models):
    roberta, bert = models
    arguments = ["--max-texts", "128", "--max-rows", "1000", "--max-passes", "400"]
    with begun(f"roberta={roberta.onnx}", f"bert={bert.onnx}", *arguments) as one:
        yield one


@pytest.fixture(scope="module")
def fill_mask(models):
    return FillMask(models[0].onnx, device="cpu")


@pytest.fixture
def patient(models):
    """A server that lets one request ask ten thousand times."""
    with begun(str(models[0].onnx), "--max-passes", "10000") as one:
        yield one


def ask(server, path, **body):
    return httpx.post(server.url + path, json=body, timeout=PATIENCE)


class TestFill:
    @pytest.mark.parametrize(
        "options",
        [{}, {"top_k": 2}, {"top_k": 3, "beams": 8}, {"order": "left_to_right", "beams": 2}],
    )
    def test_one_form_for_one_and_for_many(self, server, fill_mask, options):
        told = ask(server, "/v1/fill", inputs=list(MASKS), **options).json()
        expected = [{"fillings": rows} for rows in fill_mask.fill(list(MASKS), **options)]
        assert near(told["answers"], expected)
        assert told["model"] == "roberta"
        assert told["tokens"] > 0
        assert set(told["timing"]) == {"queue_ms", "run_ms", "total_ms"}
        alone = ask(server, "/v1/fill", inputs=MASKS[0], **options).json()
        assert near(alone["answers"], expected[:1])
        assert ask(server, "/v1/fill", inputs=[], **options).json()["answers"] == []

    def test_a_model_by_its_name_and_a_long_text(self, server, models):
        text = "way " * 99 + "[MASK] is [MASK]"
        told = ask(server, "/v1/fill", inputs=text, model="bert", top_k=1, truncate=True)
        expected = FillMask(models[1].onnx, device="cpu").fill(
            text, top_k=1, tokenizer_kwargs={"truncation": "around_mask"}
        )
        assert near(told.json()["answers"], [{"fillings": expected}])

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ({"inputs": "no mask"}, "no mask token"),
            ({"inputs": "way " * 99 + "<mask>"}, "at most 64"),
            ({"inputs": MASKS[0], "top_k": 0}, "top_k must be at least 1, and is 0"),
            ({"inputs": MASKS[0], "beams": 0}, "beams must be at least 1, and is 0"),
            ({"inputs": MASKS[0], "beams": 101}, "beams must be at most 100, and is 101."),
            ({"inputs": MASKS[0], "top_k": 2000}, "and is 2,000, as many as top_k"),
            ({"inputs": MASKS[0], "order": "random"}, "order"),
            ({"inputs": MASKS[0], "targets": ["a"]}, "targets"),
            ({"inputs": "<mask>" * 11, "beams": 50}, "needs 501 passes of the model"),
            ({"inputs": ["<mask>"] * 101, "top_k": 10}, "1,010 rows"),
            ({"inputs": ["<mask>"] * 129}, "129 texts"),
            ({"inputs": MASKS[0], "model": "none"}, "no model 'none'"),
        ],
    )
    def test_what_is_refused(self, server, body, told):
        answer = ask(server, "/v1/fill", **body)
        assert answer.status_code == (404 if "model" in body else 422)
        assert told in answer.json()["error"]
        numbers = {"tokens", "max_tokens"} if told == "at most 64" else set()
        assert set(answer.json()) == {"error", "error_type", "request_id"} | numbers


class TestScore:
    @pytest.mark.parametrize("method", ["original", "word_l2r"])
    def test_the_figures_of_the_command_line(self, server, fill_mask, method):
        told = ask(server, "/v1/score", inputs=list(WORDS), method=method).json()
        sums = fill_mask.score(list(WORDS), method=method)
        assert near(told["answers"], [{"score": score} for score in sums])
        told = ask(server, "/v1/score", inputs=WORDS[2], method=method, per_token=True).json()
        assert near(told["answers"], [fill_mask.score(WORDS[2], method=method, per_token=True)])
        assert told["tokens"] > len(told["answers"][0]["tokens"])

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ({"inputs": ""}, "no token to score"),
            ({"inputs": ["far", "<mask>"]}, "Text 2 has no token to score"),
            ({"inputs": "is " * 99}, "at most 64"),
            ({"inputs": "far", "method": "best"}, "method"),
            ({"inputs": "far", "top_k": 3}, "top_k"),
            ({"inputs": ["way " * 50] * 9}, "one may need at most 400"),
        ],
    )
    def test_what_is_refused(self, server, body, told):
        answer = ask(server, "/v1/score", **body)
        assert answer.status_code == 422
        assert told in answer.json()["error"]


class TestWholeTargets:
    def test_the_rows_of_fill_mask(self, server, fill_mask):
        options = {"targets": list(TARGETS), "whole_targets": True, "top_k": 2}
        told = ask(server, "/v1/fill-mask", inputs=list(MASKS[:2]), **options).json()
        two, one = fill_mask(list(MASKS[:2]), **options)
        assert near([answer["masks"] for answer in told["answers"]], [two, [one]])
        assert len(one[0]["tokens"]) >= 1

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ({}, "whole_targets says how targets are scored, and there are none"),
            ({"targets": []}, "At least one target"),
            ({"targets": ["a"] * 1001}, "1,001 targets"),
            ({"targets": ["galaxyparis" * 30]}, "masks in place of one has"),
            ({"targets": ["a"], "inputs": ["<mask> " * 60] * 7}, "one may need at most 400"),
        ],
    )
    def test_what_is_refused(self, server, body, told):
        answer = ask(server, "/v1/fill-mask", **{"inputs": MASKS[0], "whole_targets": True, **body})
        assert answer.status_code == 422
        assert told in answer.json()["error"]

    def test_the_pipeline_has_no_such_option(self, server):
        parameters = {"targets": ["a"], "whole_targets": True}
        assert ask(server, "/", inputs=MASKS[0], parameters=parameters).status_code == 422


def test_all_kinds_at_once_get_their_own_answers(server, fill_mask):
    whole = {"targets": list(TARGETS), "whole_targets": True}
    kinds = [
        (
            "/v1/fill",
            {"inputs": MASKS[0], "top_k": 4},
            {"fillings": fill_mask.fill(MASKS[0], top_k=4)},
        ),
        ("/v1/fill", {"inputs": MASKS[2]}, {"fillings": fill_mask.fill(MASKS[2])}),
        ("/v1/score", {"inputs": WORDS[0]}, {"score": fill_mask.score(WORDS[0])}),
        ("/v1/score", {"inputs": WORDS[2]}, {"score": fill_mask.score(WORDS[2])}),
        ("/v1/fill-mask", {"inputs": MASKS[1], **whole}, {"masks": [fill_mask(MASKS[1], **whole)]}),
        ("/v1/fill-mask", {"inputs": MASKS[0]}, {"masks": fill_mask(MASKS[0])}),
        ("/v1/fill-mask", {"inputs": MASKS[1]}, {"masks": [fill_mask(MASKS[1])]}),
    ]
    before = server.metric("mlmfast_requests_total", protocol="v1", status="200")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda kind: ask(server, kind[0], **kind[1]).json(), kinds * 8))
    for told, (_, _, expected) in zip(answers, kinds * 8, strict=True):
        assert near(told["answers"], [expected])
    assert server.metric("mlmfast_requests_total", protocol="v1", status="200") == before + 56
    assert server.metric("mlmfast_texts_in_hand") == 0


def test_more_than_the_server_takes_at_once(models):
    with begun(str(models[0].onnx), "--max-passes", "60", "--threads", "1") as server:
        with ThreadPoolExecutor(16) as pool:
            answers = list(
                pool.map(lambda _: ask(server, "/v1/score", inputs="way " * 50), range(64))
            )
        assert {answer.status_code for answer in answers} == {200, 429}
        refused = [answer for answer in answers if answer.status_code == 429]
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert "passes of the model" in refused[0].json()["error"]
        assert ask(server, "/v1/score", inputs="way " * 50).status_code == 200


def test_what_is_not_answered_in_time_is_not_worked_on(models):
    arguments = ["--max-passes", "10000", "--request-timeout", "0.2"]
    with begun(str(models[0].onnx), *arguments) as server:
        answer = ask(server, "/v1/score", inputs=MUCH)
        assert answer.status_code == 504
        until(lambda: server.metric("mlmfast_texts_in_hand") == 0)
        assert server.metric("mlmfast_batch_texts_sum") < 5000
        assert ask(server, "/v1/fill", inputs="a <mask>").status_code == 200


def test_who_goes_away_is_not_worked_for(patient):
    body = json.dumps({"inputs": MUCH}).encode()
    head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(patient.address) as connection:
        connection.sendall(head + body)
        until(lambda: patient.metric("mlmfast_texts_in_hand") == len(MUCH))
    until(lambda: patient.metric("mlmfast_failures_total", reason="client_gone") == 1)
    until(lambda: patient.metric("mlmfast_texts_in_hand") == 0)
    assert patient.metric("mlmfast_batch_texts_sum") < 5000
    assert ask(patient, "/v1/fill", inputs="a <mask>").status_code == 200


def test_loading_anew_and_stopping_drop_nothing(patient, fill_mask):
    some = MUCH[:24]
    expected = [{"score": score} for score in fill_mask.score(some)]
    with ThreadPoolExecutor(2) as pool:
        for number, ends in ((signal.SIGHUP, False), (signal.SIGTERM, True)):
            asked = [
                pool.submit(ask, patient, "/v1/score", inputs=some),
                pool.submit(ask, patient, "/v1/fill", inputs=[MASKS[2]] * 20, beams=50),
            ]
            until(
                lambda asked=asked: (
                    patient.metric("mlmfast_texts_in_hand") == 44
                    or any(each.done() for each in asked)
                )
            )
            patient.process.send_signal(number)
            scored, filled = (each.result() for each in asked)
            assert near(scored.json()["answers"], expected)
            assert len(filled.json()["answers"][0]["fillings"]) == 5
            if not ends:
                until(lambda: patient.metric("mlmfast_reloads_total", result="loaded") == 2)
    assert patient.process.wait(PATIENCE) == 0
    assert not any("Traceback" in line for line in patient.lines)
