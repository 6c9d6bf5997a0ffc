"""Sparse vectors over HTTP and gRPC: the answers of SparseEncoder, beside fill-mask's."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import http_client
from mlmfast import FillMask, SparseEncoder
from serving import begun, until
from tolerances import KERNELS
from triton_http import client, http  # noqa: F401 (fixtures)

TEXTS = [
    "paris is the capital of france",
    "the milky way is a spiral galaxy that contains our solar system",
    "berlin",
]
MASKED = "paris is the [MASK] of france"


@pytest.fixture(scope="module")
def onnx(tiny_sparse):
    return tiny_sparse("bert").onnx


@pytest.fixture(scope="module")
def encoder(onnx):
    return SparseEncoder(onnx, device="cpu")


@pytest.fixture(scope="module")
def server(onnx, tiny_model):
    arguments = (f"sparse={onnx}", f"plain={tiny_model('bert').onnx}", "--grpc-port", "0")
    with begun(*arguments, "--max-texts", "40", ready=False) as one:
        until(lambda: any("grpc_port" in line for line in one.log()))
        until(lambda: any(line["event"] == "ready" for line in one.log()))
        yield one


def post(server, path, **body):
    return http_client.post(f"{server.url}{path}", json=body)


def close(found, expected):
    return [*found] == [*expected] and found == pytest.approx(expected, rel=KERNELS)


def by_token(answer):
    return dict(zip(answer["tokens"], answer["weights"], strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 3},
        {"threshold": 0.7},
        {"special_tokens": True, "top_k": 4},
        {"kind": "query"},
        {"threshold": 1e6},
    ],
)
def test_v1_answers_as_the_encoder_does(server, encoder, options):
    found = post(server, "/v1/sparse", inputs=TEXTS, **options).json()
    kind = options.pop("kind", "document")
    expected = list(encoder.stream(TEXTS, kind=kind, **options))
    assert (found["model"], len(found["answers"])) == ("sparse", 3)
    assert found["tokens"] > 20
    for answer, words in zip(found["answers"], expected, strict=True):
        assert close(by_token(answer), words)
    single = post(server, "/v1/sparse", inputs=TEXTS[0], **options, kind=kind).json()
    assert single["answers"][0]["ids"] == found["answers"][0]["ids"]


def test_v1_answers_in_lines_too(server, encoder):
    answer = http_client.post(
        f"{server.url}/v1/sparse",
        json={"inputs": [*TEXTS, "berlin " * 90], "truncate": False},
        headers={"accept": "application/x-ndjson"},
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.get("index") for line in lines] == [0, 1, 2, 3, None]
    assert close(by_token(lines[0]), encoder(TEXTS[0]))
    assert lines[3]["error_type"] == "too_many_tokens"


def test_clients_of_text_embeddings_inference_work_unchanged(server, encoder):
    """A list of words for each text, also for a single one, by ascending index."""
    expected = encoder(TEXTS, returns="arrow").to_pylist()
    for inputs, count in ((TEXTS, 3), (TEXTS[0], 1)):
        found = post(server, "/embed_sparse", inputs=inputs, truncate=True).json()
        assert len(found) == count
        for words, vector in zip(found, expected, strict=False):
            assert [word["index"] for word in words] == vector["ids"]
            np.testing.assert_allclose(
                [word["value"] for word in words], vector["weights"], rtol=KERNELS
            )
    body = {"inputs": TEXTS[0], "truncation_direction": "right", "prompt_name": "query"}
    assert len(post(server, "/embed_sparse", **body).json()) == 1
    assert post(server, "/embed_sparse", inputs=[]).json() == []


def test_what_clients_of_text_embeddings_inference_get_for_errors(server):
    too_long = post(server, "/embed_sparse", inputs="berlin " * 90)
    assert too_long.status_code == 422
    assert too_long.json()["error_type"] == "too_many_tokens"
    assert post(server, "/embed_sparse", inputs="berlin " * 90, truncate=True).is_success
    assert post(server, "/embed_sparse", inputs=["a"] * 41).status_code == 422
    assert post(server, "/embed_sparse", inputs="a", prompt_name="other").status_code == 422
    assert server.metric("mlmfast_requests_total", protocol="tei") >= 4


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"model": "plain"}, "exported for fill-mask alone"),
        ({"model": "none"}, "There is no model 'none'"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"threshold": -1}, "threshold"),
        ({"kind": "passage"}, "kind"),
        ({"targets": ["a"]}, "Extra inputs"),
    ],
)
def test_bad_requests_are_refused(server, body, told):
    answer = post(server, "/v1/sparse", inputs="paris", **body)
    assert answer.status_code in (404, 422)
    assert told in answer.json()["error"]


def test_models_tell_their_tasks(server):
    models = http_client.get(f"{server.url}/v1/models").json()["models"]
    assert [model["tasks"] for model in models] == [["fill-mask", "sparse"], ["fill-mask"]]


def test_both_tasks_are_answered_at_once(server, encoder, onnx):
    """Requests of both wait in one queue, and never share a batch."""
    fill_mask = FillMask(onnx, device="cpu")
    rows, words = fill_mask(MASKED, top_k=2), encoder(TEXTS[1])

    def ask(number):
        if number % 2:
            found = post(server, "/v1/fill-mask", inputs=MASKED, top_k=2).json()
            return found["answers"][0]["masks"][0]
        return by_token(post(server, "/v1/sparse", inputs=TEXTS[1]).json()["answers"][0])

    with ThreadPoolExecutor(16) as pool:
        for number, found in enumerate(pool.map(ask, range(48))):
            if number % 2:
                assert [row["token"] for row in found] == [row["token"] for row in rows]
            else:
                assert close(found, words)


def test_v2_gives_the_outputs_of_the_encoder_when_asked(http, client, encoder):
    text = http.InferInput("text", [3], "BYTES")
    text.set_data_from_numpy(np.array([each.encode() for each in TEXTS], dtype=object))
    names = ("ids", "weights", "tokens", "counts")
    for binary in (False, True):
        wanted = [http.InferRequestedOutput(name, binary_data=binary) for name in names]
        found = client.infer("sparse", [text], outputs=wanted, parameters={"threshold": 0.5})
        expected = encoder(TEXTS, returns="arrow", threshold=0.5)
        ids = np.concatenate([vector["ids"] for vector in expected.to_pylist()])
        assert found.as_numpy("ids").tolist() == ids.tolist()
        assert found.as_numpy("counts").tolist() == [len(v["ids"]) for v in expected.to_pylist()]
        weights = np.concatenate([vector["weights"] for vector in expected.to_pylist()])
        np.testing.assert_allclose(found.as_numpy("weights"), weights, rtol=KERNELS)
        assert len(found.as_numpy("tokens")) == len(ids)
    names = [output["name"] for output in client.get_model_metadata("sparse")["outputs"]]
    assert names[-4:] == ["ids", "weights", "tokens", "counts"]
    assert len(client.get_model_metadata("plain")["outputs"]) == 5
    assert len(client.infer("sparse", [_masked(http)]).get_response()["outputs"]) == 5


def _masked(http):
    text = http.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([MASKED.encode()], dtype=object))
    return text


@pytest.mark.parametrize(
    ("outputs", "parameters", "told"),
    [
        (["ids", "score"], {}, "There is no output 'score'"),
        (["score", "ids"], {}, "There is no output 'ids'"),
        (["score"], {"threshold": 1.0}, "'threshold' of the request is not known"),
        (["ids"], {"threshold": "1"}, "threshold of the request must be a number"),
        (["ids"], {"threshold": -1}, "threshold must be a number from 0 on"),
    ],
)
def test_v2_refuses_what_does_not_fit(server, outputs, parameters, told):
    text = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["paris"]}
    answer = http_client.post(
        f"{server.url}/v2/models/sparse/infer",
        json={
            "inputs": [text],
            "outputs": [{"name": name} for name in outputs],
            "parameters": parameters,
        },
    )
    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_v2_takes_no_targets_for_the_encoder(server):
    tensors = [
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["paris"]},
        {"name": "targets", "datatype": "BYTES", "shape": [1], "data": ["berlin"]},
    ]
    answer = http_client.post(
        f"{server.url}/v2/models/sparse/infer",
        json={"inputs": tensors, "outputs": [{"name": "ids"}]},
    )
    assert answer.status_code == 400
    assert "takes no input targets" in answer.json()["error"]


def test_grpc_gives_them_too(server, encoder):
    triton = pytest.importorskip("tritonclient.grpc")
    from triton_grpc import address_of, texts_input

    with triton.InferenceServerClient(address_of(server)) as one:
        found = one.infer(
            "sparse",
            [texts_input(TEXTS)],
            outputs=[triton.InferRequestedOutput(name) for name in ("counts", "ids")],
            parameters={"top_k": 5},
        )
    expected = encoder(TEXTS, returns="arrow", top_k=5).to_pylist()
    assert found.as_numpy("counts").tolist() == [len(vector["ids"]) for vector in expected]
    assert found.as_numpy("ids").tolist() == [i for vector in expected for i in vector["ids"]]
