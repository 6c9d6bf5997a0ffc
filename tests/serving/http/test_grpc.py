"""The Open Inference Protocol over gRPC: `tritonclient.grpc` unchanged, and calls of every kind."""

from __future__ import annotations

import queue
import threading

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.utils import InferenceServerException

import mlmfast
from mlmfast.serving.http.grpc.messages import message, method_messages
from onnx_folder import fill_mask, onnx  # noqa: F401 (fixtures)
from serving import PATIENCE, begun, until
from tolerances import KERNELS
from triton_grpc import address_of, texts_input

TEXT = "paris is the <mask> of france"
TEXTS = [TEXT, "the <mask> way is a spiral <mask>"]
KEY = {"authorization": "Bearer secret"}
METADATA = tuple(KEY.items())


@pytest.fixture(scope="module")
def server(onnx):
    limits = ["--max-texts", "20", "--max-body-mb", "0.0625"]
    with begun(
        f"tiny={onnx}", "--grpc-port", "0", "--api-key", "secret", *limits, ready=False
    ) as one:
        until(lambda: any("grpc_port" in line for line in one.log()))
        until(lambda: any(line["event"] == "ready" for line in one.log()))
        yield one


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(address_of(server)) as one:
        yield one


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(address_of(server)) as one:
        yield one


def infer(client, texts, headers=KEY, **options):
    return client.infer(
        "tiny", [texts_input(texts)], headers=headers, client_timeout=PATIENCE, **options
    )


def call(channel, method, metadata=METADATA, timeout=PATIENCE, **fields):
    request, response = method_messages(method)
    return channel.unary_unary(
        f"/inference.GRPCInferenceService/{method}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )(request(**fields), metadata=metadata, timeout=timeout)


class TestTriton:
    def test_what_there_is(self, client):
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("tiny", headers=KEY)
        told = client.get_server_metadata(headers=KEY)
        assert (told.name, told.version) == ("mlmfast", mlmfast.__version__)
        model = client.get_model_metadata("tiny", headers=KEY)
        assert [tensor.name for tensor in model.inputs] == ["text", "targets", "top_k"]
        assert model.outputs[0].shape == [-1, -1]
        infer(client, TEXTS)
        for name in ("tiny", ""):
            (stats,) = client.get_inference_statistics(name, headers=KEY).model_stats
            assert (stats.name, stats.version) == ("tiny", "1")
            assert stats.inference_count >= len(TEXTS)
            assert stats.inference_stats.success.count >= 1
            assert sum(one.compute_infer.count for one in stats.batch_stats) >= 1
        index = client.get_model_repository_index(headers=KEY)
        assert [(one.name, one.state) for one in index.models] == [("tiny", "READY")]

    def test_answers_are_those_of_fill_mask(self, client, fill_mask):
        found = infer(client, TEXTS, request_id="one", parameters={"top_k": 3})
        assert found.get_response().id == "one"
        expected = [
            row
            for text in TEXTS
            for mask in (fill_mask(text, top_k=3), None)
            for row in rows_of(mask)
        ]
        assert found.as_numpy("masks").tolist() == [1, 2]
        assert found.as_numpy("token").shape == (3, 3)
        assert found.as_numpy("token").ravel().tolist() == [row["token"] for row in expected]
        scores = found.as_numpy("score").ravel()
        assert scores == pytest.approx([row["score"] for row in expected], abs=KERNELS)
        strings = [text.decode() for text in found.as_numpy("sequence").ravel()]
        assert strings == [row["sequence"] for row in expected]

    def test_inputs_and_outputs_that_are_chosen(self, client, fill_mask):
        targets = triton.InferInput("targets", [2], "BYTES")
        targets.set_data_from_numpy(np.array([b" city", b" way"], dtype=object))
        top_k = triton.InferInput("top_k", [1], "INT32")
        top_k.set_data_from_numpy(np.array([1], dtype=np.int32))
        found = client.infer(
            "tiny",
            [texts_input([TEXT]), targets, top_k],
            outputs=[triton.InferRequestedOutput("token_str")],
            headers=KEY,
            client_timeout=PATIENCE,
        )
        (row,) = fill_mask(TEXT, targets=[" city", " way"], top_k=1)
        assert found.as_numpy("token_str").tolist() == [[row["token_str"].encode()]]
        assert found.as_numpy("score") is None

    def test_a_stream_answers_in_order(self, client, fill_mask):
        answers: queue.Queue = queue.Queue()
        client.start_stream(lambda result, error: answers.put((result, error)), headers=KEY)
        sent = [TEXT, "no mask", *[TEXT] * 50]
        for number, text in enumerate(sent):
            client.async_stream_infer("tiny", [texts_input([text])], request_id=str(number))
        found = [answers.get(timeout=PATIENCE) for _ in sent]
        client.stop_stream()
        tokens = [row["token"] for row in fill_mask(TEXT)]
        for number, (result, error) in enumerate(found):
            if number == 1:
                assert "no mask token" in str(error)
            else:
                assert result.get_response().id == str(number)
                assert result.as_numpy("token").tolist() == [tokens]


def rows_of(answer):
    """Rows of one mask or of several, one after the other."""
    if answer is None:
        return []
    return answer if isinstance(answer[0], dict) else [row for mask in answer for row in mask]


class TestErrors:
    @pytest.mark.parametrize(
        ("fields", "code", "told"),
        [
            ({"model_name": "other"}, "NOT_FOUND", "There is no model 'other'"),
            ({"model_version": "7"}, "NOT_FOUND", "has the version 1, and not '7'"),
            ({"inputs": []}, "INVALID_ARGUMENT", "inputs"),
            ({"raw_input_contents": [b"", b""]}, "INVALID_ARGUMENT", "1 inputs and 2 raw"),
            ({"raw_input_contents": [b"\5\0\0\0a"]}, "INVALID_ARGUMENT", "contents and raw"),
            ({"outputs": [{"name": "logits"}]}, "INVALID_ARGUMENT", "no output 'logits'"),
            (
                {"parameters": {"top_k": message("InferParameter")(string_param="3")}},
                "INVALID_ARGUMENT",
                "top_k",
            ),
        ],
    )
    def test_requests_that_cannot_be_answered(self, channel, fields, code, told):
        tensor = {
            "name": "text",
            "datatype": "BYTES",
            "shape": [1],
            "contents": {"bytes_contents": [TEXT.encode()]},
        }
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "ModelInfer", **{"model_name": "tiny", "inputs": [tensor], **fields})
        assert caught.value.code().name == code
        assert told in caught.value.details()

    def test_texts_that_cannot_be_used(self, client, server):
        before = server.metric("mlmfast_failures_total", reason="no_mask")
        for texts, code, told in (
            (["nothing"], "INVALID_ARGUMENT", "no mask token"),
            ([TEXT] * 21, "INVALID_ARGUMENT", "21 texts"),
            (["<mask> " + "x" * 70_000], "RESOURCE_EXHAUSTED", "larger than max"),
        ):
            with pytest.raises(InferenceServerException, match=told) as caught:
                infer(client, texts)
            assert caught.value.status() == f"StatusCode.{code}"
        assert server.metric("mlmfast_failures_total", reason="no_mask") == before + 1

    def test_contents_in_the_field_of_their_type(self, channel, fill_mask):
        found = call(
            channel,
            "ModelInfer",
            model_name="tiny",
            inputs=[
                {
                    "name": "text",
                    "datatype": "BYTES",
                    "shape": [1],
                    "contents": {"bytes_contents": [TEXT.encode()]},
                },
                {
                    "name": "top_k",
                    "datatype": "INT64",
                    "shape": [1],
                    "contents": {"int64_contents": [2]},
                },
            ],
            outputs=[{"name": "token"}],
        )
        tokens = np.frombuffer(found.raw_output_contents[0], "<i8").tolist()
        assert tokens == [row["token"] for row in fill_mask(TEXT, top_k=2)]


class TestOperations:
    @pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}, {"x-api-key": "x"}])
    def test_a_key_is_needed(self, client, headers):
        for ask in (
            lambda: infer(client, [TEXT], headers=headers),
            lambda: client.get_server_metadata(headers=headers),
        ):
            with pytest.raises(InferenceServerException) as caught:
                ask()
            assert caught.value.status() == "StatusCode.UNAUTHENTICATED"

    def test_a_key_may_have_two_names(self, client):
        assert infer(client, [TEXT], headers={"x-api-key": "secret"}).as_numpy("masks")[0] == 1

    def test_a_request_is_counted_and_logged(self, client, server):
        before = server.metric("mlmfast_requests_total", protocol="grpc", status="200")
        trace = f"00-{'a' * 32}-{'b' * 16}-01"
        headers = {"x-request-id": "known", "x-priority": "low", "traceparent": trace}
        infer(client, [TEXT], headers=KEY | headers)
        requests = server.metric("mlmfast_requests_total", protocol="grpc", status="200")
        assert requests == before + 1
        lines = []
        until(lambda: lines.extend(one for one in server.log() if is_known(one)) or lines)
        assert (lines[0]["method"], lines[0]["status"]) == ("ModelInfer", 200)
        assert (lines[0]["texts"], lines[0]["priority"]) == (1, "low")
        assert (lines[0]["client"], lines[0]["trace_id"]) == ("127.0.0.1", "a" * 32)

    def test_a_late_request_leaves_the_queue(self, channel, server):
        tensor = {"name": "text", "datatype": "BYTES", "shape": [20]}
        tensor["contents"] = {"bytes_contents": [TEXT.encode()] * 20}
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "ModelInfer", timeout=0.0001, model_name="tiny", inputs=[tensor])
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        until(lambda: server.metric("mlmfast_texts_in_hand") == 0)

    def test_health_is_public(self, channel):
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService"):
            told = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE)
            assert told.status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def is_known(line) -> bool:
    return line.get("request_id") == "known"


def test_requests_in_hand_are_answered_before_the_end(onnx):
    with begun(f"tiny={onnx}", "--grpc-port", "0") as server:
        with triton.InferenceServerClient(address_of(server)) as client:
            answers: queue.Queue = queue.Queue()
            tell = threading.Event()
            client.start_stream(lambda result, error: (answers.put((result, error)), tell.set()))
            for _ in range(20):
                client.async_stream_infer("tiny", [texts_input(TEXTS * 40)])
            assert tell.wait(PATIENCE)
            assert server.stop() == 0
            client.stop_stream()
        result, error = answers.get(timeout=PATIENCE)
        assert error is None
        assert result.as_numpy("masks").tolist() == [1, 2] * 40


def test_models_are_loaded_and_unloaded(onnx):
    with (
        begun(f"tiny={onnx}", "--grpc-port", "0", "--api-key", "secret") as server,
        triton.InferenceServerClient(address_of(server)) as client,
    ):
        client.unload_model("tiny", headers=KEY)
        assert not client.is_model_ready("tiny", headers=KEY)
        with pytest.raises(InferenceServerException) as caught:
            infer(client, [TEXT])
        assert caught.value.status() == "StatusCode.UNAVAILABLE"
        client.load_model("tiny", headers=KEY)
        assert infer(client, [TEXT]).as_numpy("masks").tolist() == [1]
        for ask, code in (
            (lambda: client.load_model("other", headers=KEY), "NOT_FOUND"),
            (lambda: client.load_model("tiny"), "UNAUTHENTICATED"),
            (
                lambda: client.load_model("tiny", headers=KEY, config='{"name": "tiny"}'),
                "INVALID_ARGUMENT",
            ),
        ):
            with pytest.raises(InferenceServerException) as caught:
                ask()
            assert caught.value.status() == f"StatusCode.{code}"


def test_without_a_key_nobody_takes_a_model_away(onnx):
    with (
        begun(f"tiny={onnx}", "--grpc-port", "0") as server,
        triton.InferenceServerClient(address_of(server)) as client,
    ):
        for ask in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException, match="only with an API key") as caught:
                ask("tiny")
            assert caught.value.status() == "StatusCode.PERMISSION_DENIED"
        assert infer(client, [TEXT], headers={}).as_numpy("masks").tolist() == [1]


def test_a_port_that_is_taken(server, onnx):
    port = address_of(server).rpartition(":")[2]
    with begun(f"tiny={onnx}", "--grpc-port", port, ready=False) as second:
        assert second.process.wait(PATIENCE) == 2
        until(lambda: not second.reading)
        assert "for gRPC: Address already in use. Choose another --grpc-port" in second.lines[-1]
