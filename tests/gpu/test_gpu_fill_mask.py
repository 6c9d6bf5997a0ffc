"""Fill-mask and sparse vectors on an NVIDIA GPU: the answers of the CPU, and no fall-back."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gpu import DEVICE, DRY_RUN, GPU
from mlmfast.errors import MlmfastError
from mlmfast.exporting.export import export
from mlmfast.serving.engine import captured
from mlmfast.serving.engine.session import CPU, CUDA
from mlmfast.serving.fill_mask import FillMask
from mlmfast.serving.sparse_encoder import SparseEncoder
from tiny_models import KINDS
from tolerances import GRAPHS

pytestmark = GPU

# Scores in fp16: their rounding is 5e-4, and a layer enlarges it as that of float32.
HALF = 3e-2
WORDS = ("paris", "is", "the", "capital", "of", "france", "while", "berlin", "is", "a", "city")


def texts_for(model, count=12):
    """Texts of one to thirteen words, with a mask in each and two in some."""
    found = []
    for number in range(count):
        end = ["far", model.mask] if number % 3 == 2 else []
        found.append(" ".join([*WORDS[: 1 + number % len(WORDS)], model.mask, *end]))
    return found


def rows_of(answer):
    """The rows of an answer, whether it has one mask or several."""
    return [row for each in answer for row in (each if isinstance(each, list) else [each])]


def assert_equal(found, expected, tolerance):
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        for row, other in zip(rows_of(mine), rows_of(theirs), strict=True):
            assert row["score"] == pytest.approx(other["score"], abs=tolerance, rel=tolerance)
        if tolerance == GRAPHS:
            tokens = [row["token"] for row in rows_of(mine)]
            assert tokens == [row["token"] for row in rows_of(theirs)]


def test_doctor_finds_the_gpu_and_the_provider_computes():
    from mlmfast.doctor.providers import try_providers

    provider = CPU if DRY_RUN else CUDA
    (found,) = try_providers([provider], limit=60)
    assert found.error is None, (found.error, found.missing)
    if not DRY_RUN:
        import torch

        from mlmfast.doctor.gpus import probe_gpus

        assert torch.cuda.is_available()
        assert probe_gpus().found


def test_nothing_falls_back_to_the_cpu(tiny_model):
    fill_mask = FillMask(tiny_model("bert").onnx, device=DEVICE)
    assert fill_mask.device == DEVICE
    # Unless it is told otherwise, it takes the GPU.
    assert FillMask(tiny_model("bert").onnx).device == DEVICE


@pytest.mark.parametrize("kind", KINDS)
def test_answers_in_fp32_are_those_of_the_cpu(tiny_model, kind):
    model = tiny_model(kind)
    texts = texts_for(model)
    expected = FillMask(model.onnx, device="cpu")(texts)
    assert_equal(FillMask(model.onnx, device=DEVICE)(texts), expected, GRAPHS)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_answers_of_model_onnx_whose_logits_stay_on_the_gpu(tiny_model, tmp_path, kind):
    model = tiny_model(kind)
    folder = shutil.copytree(model.onnx, tmp_path / "onnx")
    (folder / "fill_mask.onnx").unlink()
    texts = texts_for(model)
    expected = FillMask(folder, device="cpu")(texts, targets=["city", "france"])
    assert_equal(
        FillMask(folder, device=DEVICE)(texts, targets=["city", "france"]), expected, GRAPHS
    )


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert"])
def test_answers_in_fp16_are_near_those_in_fp32(tiny_model, tmp_path, kind):
    model = tiny_model(kind)
    export(model.checkpoint, tmp_path / "half", precision="fp16", min_agreement=0)
    texts = texts_for(model)
    expected = FillMask(model.onnx, device="cpu")(texts)
    assert_equal(FillMask(tmp_path / "half", device=DEVICE)(texts), expected, HALF)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_captured_graphs_answer_as_the_cpu_does(tiny_model, tmp_path, monkeypatch, precision):
    if DRY_RUN:
        monkeypatch.setattr(captured, "DEVICE", "cpu")
    model = tiny_model("bert")
    options = {"cuda_graphs": True, "precision": precision, "min_agreement": 0}
    folder = export(model.checkpoint, tmp_path / "onnx", **options).output
    try:
        fill_mask = FillMask(folder, device=DEVICE, cuda_graphs=True)
    except MlmfastError as error:
        if "does not capture" not in str(error):  # such as answers that are wrong
            raise
        pytest.skip(str(error))
    texts = texts_for(model)
    expected = FillMask(model.onnx, device="cpu")(texts)
    for _ in range(4):  # onnxruntime captures a shape when it comes again
        assert_equal(fill_mask(texts), expected, GRAPHS if precision == "fp32" else HALF)


def test_answers_of_tensorrt_rtx_are_those_of_the_cpu(tiny_model):
    pytest.importorskip("onnxruntime_ep_nv_tensorrt_rtx")
    if DRY_RUN:
        pytest.skip("needs an NVIDIA GPU")
    model = tiny_model("bert")
    texts = texts_for(model)
    expected = FillMask(model.onnx, device="cpu")(texts)
    assert_equal(FillMask(model.onnx, device="tensorrt-rtx")(texts), expected, HALF)


def test_threads_that_share_a_model_get_the_answers_of_one(tiny_model):
    model = tiny_model("roberta")
    fill_mask = FillMask(model.onnx, device=DEVICE)
    texts = texts_for(model, 60)
    expected = [fill_mask(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(fill_mask, texts))
    assert_equal(found, expected, GRAPHS)
    assert_equal(list(fill_mask.stream(iter(texts))), expected, GRAPHS)


def test_sparse_vectors_are_those_of_the_cpu(tiny_sparse):
    model = tiny_sparse("bert")
    texts = [text.replace(model.mask, "germany") for text in texts_for(model)]
    expected = SparseEncoder(model.onnx, device="cpu")(texts, returns="csr")
    found = SparseEncoder(model.onnx, device=DEVICE)
    assert found.device == DEVICE
    np.testing.assert_allclose(
        found(texts, returns="csr").toarray(), expected.toarray(), rtol=GRAPHS, atol=GRAPHS
    )


def test_a_server_answers_many_clients_as_the_cpu_does(tiny_model):
    import http_client
    from serving import begun

    model = tiny_model("bert")
    texts = texts_for(model, 48)
    expected = FillMask(model.onnx, device="cpu")(texts)
    with begun(f"bert={model.onnx}", "--device", DEVICE) as server:

        def ask(text):
            body = {"inputs": text}
            found = http_client.post(f"{server.url}/models/bert", json=body)
            assert found.status_code == 200, found.text
            return found.json()

        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(ask, texts))
        assert server.stop() == 0
    assert_equal(found, expected, GRAPHS)
