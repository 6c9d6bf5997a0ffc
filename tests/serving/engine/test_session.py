"""The session behind `FillMask`: devices, threads, and graphs that cannot answer."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from mlmfast.errors import InputError, MissingDependencyError, MlmfastError
from mlmfast.runtime import cpu as cores
from mlmfast.runtime.cpu import available_cores
from mlmfast.serving.engine.session import CUDA, SessionOptions, open_session
from mlmfast.serving.fill_mask import FillMask


def test_a_missing_onnxruntime_is_named_with_the_way_to_install_it(tiny_model, monkeypatch):
    folder = tiny_model("bert").onnx
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"'mlmfast\[cpu\]'.*'mlmfast\[gpu\]'"):
        FillMask(folder)


def test_devices(tiny_model):
    import onnxruntime

    folder = tiny_model("bert").onnx
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert FillMask(folder, device="cpu").device == "cpu"
    with pytest.raises(InputError, match="auto, cpu, cuda"):
        FillMask(folder, device="tpu")
    with pytest.raises(InputError, match="threads"):
        FillMask(folder, threads=0)
    if not has_cuda:
        assert FillMask(folder).device == "cpu"
        with pytest.raises(MlmfastError, match="no CUDA provider"):
            FillMask(folder, device="cuda")


def test_a_graph_that_is_not_captured_is_refused_with_the_reason(tiny_model, monkeypatch):
    import onnxruntime

    class Refusing(onnxruntime.InferenceSession):
        def _create_inference_session(self, providers, *_):
            assert dict([providers[0]])["CUDAExecutionProvider"]["enable_cuda_graph"] == "1"
            raise RuntimeError("This session cannot use the graph capture feature as requested.")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Refusing)
    options = SessionOptions("cuda", threads=1, spinning=False, cuda_graphs=True)
    with pytest.raises(MlmfastError, match=r"does not capture .*cannot use the graph capture"):
        open_session(tiny_model("bert").onnx / "fill_mask.onnx", options)


def test_threads_are_the_cores_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7}, raising=False)
    monkeypatch.setattr(cores, "cpu_quota", lambda: None)
    assert available_cores() == 3
    monkeypatch.setattr(cores, "cpu_quota", lambda: 1.5)
    assert available_cores() == 2
    assert not cores.may_spin()


def test_cuda_that_falls_back_to_the_cpu_is_refused(tiny_model, monkeypatch):
    import onnxruntime

    def on_the_cpu(*arguments, providers, session=onnxruntime.InferenceSession):
        assert providers[0][0] == "CUDAExecutionProvider"
        return session(*arguments, providers=["CPUExecutionProvider"])

    folder = tiny_model("bert").onnx
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    with pytest.raises(MlmfastError, match="fell back to the CPU"):
        FillMask(folder, device="cuda")
    assert FillMask(folder, device="auto").device == "cpu"


def test_a_graph_of_another_task_is_refused(tiny_model, tmp_path):
    exporter = pytest.importorskip("optimum.exporters.onnx", reason="Optimum is not installed")
    exporter.main_export(
        str(tiny_model("distilbert").checkpoint),
        tmp_path,
        task="feature-extraction",
        do_validation=False,
    )
    with pytest.raises(InputError, match=r"last_hidden_state and no logits"):
        FillMask(tmp_path)


def test_a_model_of_nan_says_so(tmp_path, tiny_model):
    folder = shutil.copytree(tiny_model("roberta").onnx, tmp_path / "onnx")
    weights = folder / "model.onnx_data"
    weights.write_bytes(b"\xff" * weights.stat().st_size)  # every float32 of these bits is NaN
    with pytest.raises(MlmfastError, match="NaN"):
        FillMask(folder)("a <mask>")
    (folder / "fill_mask.onnx").unlink()
    with pytest.raises(MlmfastError, match="NaN"):
        FillMask(folder)("a <mask>")
