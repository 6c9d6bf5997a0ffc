"""Clients that people have, unchanged, against a server that runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

import http_client
from mlmfast.serving.fill_mask import FillMask
from serving import begun
from tolerances import KERNELS
from triton_http import client, http  # noqa: F401 (fixtures)

TEXTS = (
    "paris is the <mask> of france",
    "the <mask> way is a spiral <mask>",
    "it does not <mask> , it is n't far !",
)


@pytest.fixture(scope="module")
def models(tiny_model):
    return tiny_model("roberta"), tiny_model("bert")


@pytest.fixture(scope="module")
def server(models):
    roberta, bert = models
    with begun(f"roberta={roberta.onnx}", f"bert={bert.onnx}", "--api-key", "open-sesame") as one:
        yield one


@pytest.fixture(scope="module")
def fill_mask(models):
    return FillMask(models[0].onnx, device="cpu")


def ask(server, path, content, **headers):
    headers = {"authorization": "Bearer open-sesame", **headers}
    return http_client.post(server.url + path, json=content, headers=headers)


def same(found, expected):
    """Whether rows are equal: the scores to the rounding of another batch."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    # The Hub's client adds a field of its own.
    others = ("token", "token_str", "sequence")
    return abs(found["score"] - expected["score"]) < KERNELS and all(
        found[name] == expected[name] for name in others
    )


def text_of(value):
    """tritonclient gives bytes for binary tensors and strings for those in JSON."""
    return value.decode() if isinstance(value, bytes) else value


class TestHuggingFace:
    @pytest.fixture(autouse=True)
    def online(self, monkeypatch):
        """Without a network the Hub's own client refuses to ask even this machine."""
        from huggingface_hub import constants
        from huggingface_hub.utils import _http

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        _http.reset_sessions()
        yield
        _http.reset_sessions()

    @pytest.fixture
    def client(self, server):
        from huggingface_hub import InferenceClient

        return InferenceClient(model=server.url, token="open-sesame")

    def test_one_mask(self, client, fill_mask):
        rows = client.fill_mask(TEXTS[0])
        assert same([dict(row) for row in rows], fill_mask(TEXTS[0]))

    def test_top_k_and_targets(self, client, fill_mask):
        rows = client.fill_mask(TEXTS[0], top_k=2, targets=[" capital", " city", " way"])
        expected = fill_mask(TEXTS[0], top_k=2, targets=[" capital", " city", " way"])
        assert same([dict(row) for row in rows], expected)

    def test_a_model_by_its_name(self, server, models):
        from huggingface_hub import InferenceClient

        client = InferenceClient(model=f"{server.url}/models/bert", token="open-sesame")
        rows = client.fill_mask("paris is the [MASK] of france")
        expected = FillMask(models[1].onnx, device="cpu")("paris is the [MASK] of france")
        assert same([dict(row) for row in rows], expected)

    def test_the_error_is_shown(self, client):
        from huggingface_hub.errors import HfHubHTTPError

        with pytest.raises(HfHubHTTPError, match="write <mask> for"):
            client.fill_mask("paris is the [MASK] of france")

    @pytest.mark.parametrize(
        ("inputs", "parameters"),
        [
            (TEXTS[1], {}),
            (list(TEXTS), {"top_k": 3}),
            ([TEXTS[0]], {}),
            ([], {}),
            (TEXTS[0], {"top_k": 0}),
            (TEXTS[0], {"targets": " city"}),
            ("<mask> " + "way " * 99, {"tokenizer_kwargs": {"truncation": True}}),
        ],
    )
    def test_the_pipeline_s_form(self, server, fill_mask, inputs, parameters):
        answer = ask(server, "/", {"inputs": inputs, "parameters": parameters})
        assert answer.status_code == 200
        assert same(answer.json(), fill_mask(inputs, **parameters))


# tritonclient writes into what it is given: each call gets a copy.
HEADERS = {"Authorization": "Bearer open-sesame"}


class TestTriton:
    def infer(self, http, client, texts, *, binary=True, outputs=None, top_k=None, **options):
        inputs = [http.InferInput("text", [len(texts)], "BYTES")]
        values = np.array([text.encode() for text in texts], dtype=object)
        inputs[0].set_data_from_numpy(values, binary_data=binary)
        if top_k is not None:
            inputs.append(http.InferInput("top_k", [1], "INT32"))
            inputs[1].set_data_from_numpy(np.array([top_k], np.int32), binary_data=binary)
        wanted = outputs and [http.InferRequestedOutput(o, binary_data=binary) for o in outputs]
        return client.infer(
            "roberta", inputs, outputs=wanted, headers=dict(HEADERS), request_id="7", **options
        )

    def check(self, result, fill_mask, texts, top_k=5):
        flat = []
        for text in texts:
            answer = fill_mask(text, top_k=top_k)
            flat += answer if isinstance(answer[0], list) else [answer]
        rows = [
            [
                {"score": s, "token": t, "token_str": text_of(w), "sequence": text_of(q)}
                for s, t, w, q in zip(*of_mask, strict=True)
            ]
            for of_mask in zip(
                result.as_numpy("score").tolist(),
                result.as_numpy("token").tolist(),
                result.as_numpy("token_str").tolist(),
                result.as_numpy("sequence").tolist(),
                strict=True,
            )
        ]
        assert same(rows, flat)
        assert result.as_numpy("masks").tolist() == [text.count("<mask>") for text in texts]

    def test_health_and_metadata(self, client):
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("bert", headers=dict(HEADERS))
        assert not client.is_model_ready("gpt", headers=dict(HEADERS))
        assert client.get_server_metadata(headers=dict(HEADERS))["name"] == "mlmfast"
        metadata = client.get_model_metadata("roberta", headers=dict(HEADERS))
        assert next(tensor["name"] for tensor in metadata["inputs"]) == "text"
        assert client.get_model_config("roberta", headers=dict(HEADERS))["max_batch_size"] == 0
        index = client.get_model_repository_index(headers=dict(HEADERS))
        assert [entry["name"] for entry in index] == ["roberta", "bert"]

    def test_binary(self, http, client, fill_mask):
        result = self.infer(http, client, TEXTS)
        self.check(result, fill_mask, TEXTS)
        assert result.get_response()["id"] == "7"

    def test_json(self, http, client, fill_mask):
        names = ["score", "token", "token_str", "sequence", "masks"]
        result = self.infer(http, client, TEXTS[:2], binary=False, outputs=names, top_k=2)
        self.check(result, fill_mask, TEXTS[:2], top_k=2)

    @pytest.mark.parametrize("kind", ["gzip", "deflate"])
    def test_compressed_both_ways(self, http, client, fill_mask, kind):
        texts = TEXTS * 10
        result = self.infer(
            http,
            client,
            texts,
            top_k=9,
            request_compression_algorithm=kind,
            response_compression_algorithm=kind,
        )
        self.check(result, fill_mask, texts, top_k=9)

    def test_outputs_that_are_wanted(self, http, client):
        result = self.infer(http, client, TEXTS[:1], outputs=["token_str"])
        assert result.as_numpy("token_str").shape == (1, 5)
        assert result.as_numpy("score") is None

    def test_targets_and_parameters(self, http, client, fill_mask):
        text = http.InferInput("text", [1, 1], "BYTES")
        text.set_data_from_numpy(np.array([[TEXTS[0].encode()]], dtype=object))
        targets = http.InferInput("targets", [2], "BYTES")
        targets.set_data_from_numpy(np.array([b" city", b" way"], dtype=object))
        result = client.infer(
            "roberta", [text, targets], headers=dict(HEADERS), parameters={"top_k": 1}
        )
        (row,) = fill_mask(TEXTS[0], targets=[" city", " way"], top_k=1)
        assert result.as_numpy("token").tolist() == [[row["token"]]]

    def test_many_at_once(self, http, server, fill_mask):
        address = server.url.removeprefix("http://")
        with http.InferenceServerClient(address, concurrency=8) as client:
            running = []
            for number in range(24):
                one = http.InferInput("text", [1], "BYTES")
                one.set_data_from_numpy(np.array([TEXTS[number % 3].encode()], dtype=object))
                running.append(client.async_infer("roberta", [one], headers=dict(HEADERS)))
            for number, each in enumerate(running):
                self.check(each.get_result(), fill_mask, [TEXTS[number % 3]])

    def test_errors_are_the_protocol_s(self, http, client):
        from tritonclient.utils import InferenceServerException

        with pytest.raises(InferenceServerException, match="no mask token") as caught:
            self.infer(http, client, ["no mask"])
        assert caught.value.status() == "400"
        with pytest.raises(InferenceServerException, match="requires a key"):
            client.get_model_metadata("roberta")

    def test_loading_anew(self, client):
        client.load_model("bert", headers=dict(HEADERS))
        assert client.is_model_ready("bert", headers=dict(HEADERS))

    def test_no_model_from_the_client(self, client, models):
        from tritonclient.utils import InferenceServerException

        with pytest.raises(InferenceServerException, match="folder that the server was given"):
            client.load_model("bert", headers=dict(HEADERS), config=json.dumps({"folder": "/"}))


class TestOwnProtocol:
    def test_one_form_for_one_and_for_many(self, server, fill_mask):
        answer = ask(server, "/v1/fill-mask", {"inputs": TEXTS[0], "top_k": 2}).json()
        assert answer["model"] == "roberta"
        assert same(answer["answers"][0]["masks"], [fill_mask(TEXTS[0], top_k=2)])
        answer = ask(server, "/v1/fill-mask", {"inputs": TEXTS, "model": "roberta"}).json()
        expected = [fill_mask(text) for text in TEXTS]
        masks = [one["masks"] for one in answer["answers"]]
        assert same(masks, [[expected[0]], expected[1], [expected[2]]])
        assert answer["tokens"] > 0
        assert set(answer["timing"]) == {"queue_ms", "run_ms", "total_ms"}

    def test_truncate_keeps_the_mask(self, server):
        long = {"inputs": "way " * 200 + "<mask>", "top_k": 1}
        refused = ask(server, "/v1/fill-mask", long)
        assert refused.status_code == 422
        assert "at most 64" in refused.json()["error"]
        assert ask(server, "/v1/fill-mask", {**long, "truncate": True}).status_code == 200

    def test_models(self, server):
        told = http_client.get(
            f"{server.url}/v1/models", headers={"authorization": "Bearer open-sesame"}
        ).json()
        assert [model["mask_token"] for model in told["models"]] == ["<mask>", "[MASK]"]

    def test_curl_as_the_docs_page_shows_it(self, server):
        curl = shutil.which("curl")
        if curl is None:
            pytest.skip("curl is not installed")
        page = http_client.get(f"{server.url}/docs").text
        assert "//cdn" not in page
        assert "<script" not in page
        command = [
            curl,
            "-s",
            f"{server.url}/v1/fill-mask",
            "-H",
            "Authorization: Bearer open-sesame",
        ]
        found = subprocess.run(
            [*command, "-d", '{"inputs": "Paris is the <mask> of France."}'],
            capture_output=True,
            check=True,
            text=True,
        )
        assert len(json.loads(found.stdout)["answers"][0]["masks"][0]) == 5


@pytest.mark.skipif("MLMFAST_TEST_HUB_PYTHON" not in os.environ, reason="set by make test-clients")
def test_the_newest_hugging_face_client(server, fill_mask):
    program = (
        "import json, sys, huggingface_hub as hub\n"
        "client = hub.InferenceClient(model=sys.argv[1], token='open-sesame')\n"
        "rows = client.fill_mask(sys.argv[2], top_k=3, targets=[' city', ' way', ' capital'])\n"
        "try:\n"
        "    client.fill_mask('no mask')\n"
        "except hub.errors.HfHubHTTPError as error:\n"
        "    assert 'no mask token' in str(error), error\n"
        "else:\n"
        "    raise AssertionError('no error')\n"
        "print(json.dumps([dict(row) for row in rows]))\n"
    )
    python = os.environ["MLMFAST_TEST_HUB_PYTHON"]
    found = subprocess.run(
        [python, "-c", program, server.url, TEXTS[0]],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "0"},
    )
    expected = fill_mask(TEXTS[0], top_k=3, targets=[" city", " way", " capital"])
    assert same(json.loads(found.stdout), expected)
