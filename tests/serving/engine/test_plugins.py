"""Plugins of onnxruntime: OpenVINO, used where it loads and agrees with the CPU provider."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from mlmfast import FillMask
from mlmfast.errors import MissingDependencyError, MlmfastError
from mlmfast.exporting.export import export
from mlmfast.serving.engine import agreement, plugins
from mlmfast.serving.engine.graphs import open_graph
from mlmfast.serving.engine.session import SessionOptions, open_session
from tiny_models import save_checkpoint
from tolerances import GRAPHS

TEXTS = ["paris is the [MASK] of france", "the [MASK] way is a [MASK] galaxy that contains [MASK]"]
CPU = SessionOptions("cpu", threads=1, spinning=False)


def test_a_plugin_that_is_not_installed_is_told_with_the_command(tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_openvino", None)
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime-ep-openvino"):
        FillMask(tiny_model("bert").onnx, device="openvino")


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """A package of a plugin whose library is none."""
    library = tmp_path / "libplugin.so"
    library.write_bytes(b"no library")
    module = SimpleNamespace(get_library_path=lambda: str(library), get_ep_name=lambda: "Other")
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_openvino", module)


@pytest.mark.usefixtures("installed")
def test_a_plugin_that_does_not_load_is_told(monkeypatch):
    monkeypatch.setattr(plugins, "_loaded", set())
    with pytest.raises(MlmfastError, match="onnxruntime-ep-openvino does not load: "):
        plugins.plugin_device(plugins.OPENVINO)


@pytest.mark.usefixtures("installed")
def test_a_plugin_without_a_device_is_told(monkeypatch):
    monkeypatch.setattr(plugins, "_loaded", {plugins.OPENVINO.package})
    with pytest.raises(MlmfastError, match="onnxruntime-ep-openvino finds no CPU"):
        plugins.plugin_device(plugins.OPENVINO)


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    checkpoint = save_checkpoint("bert", folder / "checkpoint", initializer_range=0.3)
    return export(checkpoint, folder / "onnx", task="sparse").output


@pytest.mark.parametrize("file", ["fill_mask.onnx", "model.onnx", "sparse.onnx"])
def test_sessions_that_disagree_are_refused(tiny_sparse, other_weights, file):
    graphs = [tiny_sparse("bert").onnx / file, other_weights / file]
    session, other = (open_session(graph, CPU) for graph in graphs)
    config = json.loads((other_weights / "config.json").read_text())
    known = {"vocab_size": config["vocab_size"], "pad_id": config["pad_token_id"]}
    agreement.require_agreement(open_graph(graphs[0], session), session, session, **known)
    with pytest.raises(MlmfastError, match=r"does not agree with .* differ by .*device='cpu'"):
        agreement.require_agreement(open_graph(graphs[0], session), session, other, **known)


@pytest.fixture
def openvino():
    pytest.importorskip("onnxruntime_ep_openvino", reason="OpenVINO's plugin is not installed")


@pytest.mark.usefixtures("openvino")
def test_openvino_answers_as_the_cpu_provider_does(tiny_model):
    folder = tiny_model("bert").onnx
    ours, theirs = FillMask(folder, device="openvino"), FillMask(folder, device="cpu")
    assert ours.device == "openvino"
    for options in ({"top_k": 3}, {"targets": ["paris", "galaxy"]}):
        for found, expected in zip(
            rows(ours(TEXTS * 3, **options)), rows(theirs(TEXTS * 3, **options)), strict=True
        ):
            assert found["token"] == expected["token"]
            assert found["score"] == pytest.approx(expected["score"], abs=GRAPHS)
    text = "paris is the capital of france"
    assert ours.score(text) == pytest.approx(theirs.score(text), abs=0.01)


@pytest.mark.usefixtures("openvino")
def test_openvino_is_not_used_where_it_disagrees(tiny_model, monkeypatch):
    monkeypatch.setattr(agreement, "_LIMIT", 1e-12)
    with pytest.raises(MlmfastError, match="does not agree"):
        FillMask(tiny_model("bert").onnx, device="openvino")


def rows(answers):
    """All rows of nested lists."""
    if isinstance(answers, dict):
        return [answers]
    return [row for part in answers for row in rows(part)]
