"""The Open Inference Protocol over HTTP: what is refused, statistics, and unloading models."""

from __future__ import annotations

import numpy as np
import pytest

import http_client
from serving import begun, until
from triton_http import client, http  # noqa: F401 (fixtures)

TEXT = "paris is the <mask> of france"
KEY = {"authorization": "Bearer open-sesame"}


@pytest.fixture(scope="module")
def server(tiny_model):
    one, other = tiny_model("roberta").onnx, tiny_model("bert").onnx
    with begun(f"roberta={one}", f"bert={other}", "--api-key", "open-sesame") as started:
        yield started


def tensor(name="text", datatype="BYTES", shape=(1,), data=(TEXT,), **more):
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": list(data), **more}


def infer(server, *inputs, **more):
    return http_client.post(
        f"{server.url}/v2/models/roberta/infer", json={"inputs": list(inputs), **more}, headers=KEY
    )


@pytest.mark.parametrize(
    ("inputs", "more", "told"),
    [
        ([tensor()], {"parameters": {"topk": 3}}, "'topk' of the request is not known"),
        ([tensor()], {"parameters": {"priority": 1}}, "'priority' of the request is not known"),
        ([tensor()], {"parameters": {"top_k": "3"}}, "top_k of the request must be an integer"),
        ([tensor()], {"parameters": {"top_k": True}}, "top_k of the request must be an integer"),
        ([tensor()], {"parameters": {"truncate": 1}}, "truncate of the request must be true"),
        ([tensor(parameters={"content_type": "str"})], {}, "of the input 'text' is not known"),
        ([tensor(parameters={"binary_data_size": True})], {}, "must be an integer"),
        (
            [tensor()],
            {"outputs": [{"name": "score", "parameters": {"classification": 2}}]},
            "score",
        ),
        ([tensor()], {"outputs": [{"name": "score"}, {"name": "score"}]}, "requested twice"),
        ([tensor()], {"inference": 1}, "Extra inputs"),
        ([tensor(contents=[])], {}, "Extra inputs"),
        ([tensor(shape=[-1])], {}, "no length may be below 0"),
        ([tensor(shape=[-1, -1])], {}, "must have [n] or [n, 1]"),
        ([tensor(shape=[-1, 1])], {}, "no length may be below 0"),
        ([tensor(shape=[1, 1, 1])], {}, "must have [n] or [n, 1]"),
        ([tensor(shape=[])], {}, "must have [n] or [n, 1]"),
        ([tensor(shape=[2])], {}, "1 values"),
        ([tensor(datatype="INT64")], {}, "must be BYTES"),
        ([tensor(datatype="STRING")], {}, "must be BYTES"),
        ([tensor(), tensor("top_k", "FP32", [1], [3])], {}, "must hold an integer"),
        ([tensor(), tensor("top_k", "BYTES", [1], ["3"])], {}, "must hold an integer"),
        ([tensor(), tensor("top_k", "INT8", [1], [300])], {}, "is no INT8"),
        ([tensor(), tensor("top_k", "UINT8", [1], [-1])], {}, "is no UINT8"),
        ([tensor(), tensor("top_k", "INT32", [-1], [3])], {}, "no length may be below 0"),
        ([tensor(), tensor("top_k", "INT32", [2], [3, 3])], {}, "must hold one integer"),
        ([tensor(data=[TEXT], parameters={"binary_data_size": 0})], {}, "data and binary data"),
    ],
)
def test_what_does_not_fit_is_refused(server, inputs, more, told):
    answer = infer(server, *inputs, **more)
    assert answer.status_code == 400
    assert told in answer.json()["error"]


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor(shape=[1, 1])],
        [tensor(shape=[1, 1], data=[[TEXT]])],
        [tensor(shape=[0], data=[])],
        [tensor(), tensor("top_k", "UINT8", [], [3])],
        [tensor(), tensor("top_k", "INT64", [1, 1], [[3]])],
    ],
)
def test_what_fits_is_answered(server, inputs):
    assert infer(server, *inputs).status_code == 200


class TestWithTriton:
    def ask(self, http, client, texts, model="roberta"):
        text = http.InferInput("text", [len(texts)], "BYTES")
        text.set_data_from_numpy(np.array([one.encode() for one in texts], dtype=object))
        return client.infer(model, [text], headers=dict(KEY))

    def stats(self, client, *model):
        return client.get_inference_statistics(*model, headers=dict(KEY))["model_stats"]

    def test_statistics(self, http, client):
        from tritonclient.utils import InferenceServerException

        (before,) = self.stats(client, "roberta", "1")
        self.ask(http, client, [TEXT] * 3)
        with pytest.raises(InferenceServerException, match="no mask token"):
            self.ask(http, client, ["no mask"])
        (after,) = self.stats(client, "roberta")
        assert after["inference_count"] == before["inference_count"] + 3
        assert after["execution_count"] > before["execution_count"]
        assert after["last_inference"] >= before["last_inference"]
        for name in ("success", "fail"):
            old, new = before["inference_stats"][name], after["inference_stats"][name]
            assert new["count"] == old["count"] + 1
            assert new["ns"] > old["ns"]
        batches = after["batch_stats"]
        assert sum(one["compute_infer"]["count"] for one in batches) == after["execution_count"]
        stats = after["inference_stats"]
        assert stats["queue"]["ns"] + stats["compute_infer"]["ns"] <= stats["success"]["ns"]

    def test_statistics_of_all_models(self, client):
        assert [one["name"] for one in self.stats(client)] == ["roberta", "bert"]

    def test_extensions_are_there(self, client):
        metadata = client.get_server_metadata(headers=dict(KEY))
        assert {"statistics", "model_repository"} <= set(metadata["extensions"])

    def test_a_model_is_unloaded_and_loaded(self, http, client, server):
        from tritonclient.utils import InferenceServerException

        client.unload_model("bert", headers=dict(KEY))
        assert not client.is_model_ready("bert", headers=dict(KEY))
        assert client.is_server_ready()
        index = client.get_model_repository_index(headers=dict(KEY))
        assert [one["state"] for one in index] == ["READY", "UNAVAILABLE"]
        with pytest.raises(InferenceServerException, match="was unloaded"):
            self.ask(http, client, ["a [MASK]"], "bert")
        self.ask(http, client, [TEXT])
        assert server.metric("mlmfast_model_ready", model="bert") == 0
        client.load_model("bert", headers=dict(KEY))
        assert client.is_model_ready("bert", headers=dict(KEY))
        self.ask(http, client, ["a [MASK]"], "bert")


def test_nobody_unloads_a_model_without_a_key(tiny_model):
    with begun(str(tiny_model("roberta").onnx), ready=False) as server:
        until(lambda: http_client.get(f"{server.url}/health").status_code == 200)
        refused = http_client.post(f"{server.url}/v2/repository/models/onnx/unload")
        assert refused.status_code == 403
        extensions = http_client.get(f"{server.url}/v2").json()["extensions"]
        assert "model_repository" not in extensions
