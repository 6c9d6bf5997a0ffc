"""Plugins of onnxruntime, used where they load and agree with the CPU provider."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlmfast import FillMask
from mlmfast.errors import DeviceNotFoundError, MissingDependencyError, MlmfastError
from mlmfast.exporting.export import export
from mlmfast.serving.engine import agreement, plugins, session
from mlmfast.serving.engine.engine import Engine
from mlmfast.serving.engine.graphs import open_graph
from mlmfast.serving.engine.session import SessionOptions, open_session
from tiny_models import save_checkpoint
from tolerances import GRAPHS

TEXTS = ["paris is the [MASK] of france", "the [MASK] way is a [MASK] galaxy that contains [MASK]"]
CPU = SessionOptions("cpu", threads=1, spinning=False)


PLUGINS = pytest.mark.parametrize("plugin", plugins.PLUGINS, ids=lambda plugin: plugin.device)


@PLUGINS
def test_a_plugin_that_is_not_installed_is_told_with_the_command(tiny_model, monkeypatch, plugin):
    monkeypatch.setitem(sys.modules, plugin.module, None)
    with pytest.raises(MissingDependencyError, match=f"pip install {plugin.package}"):
        FillMask(tiny_model("bert").onnx, device=plugin.device)


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """The folder of packages of plugins whose library is none."""
    import onnxruntime

    if not hasattr(onnxruntime, "register_execution_provider_library"):
        pytest.skip("this onnxruntime takes no plugins")
    library = tmp_path / "libplugin.so"
    library.write_bytes(b"no library")
    module = SimpleNamespace(get_library_path=lambda: str(library), get_ep_name=lambda: "Other")
    for plugin in plugins.PLUGINS:
        monkeypatch.setitem(sys.modules, plugin.module, module)
    monkeypatch.setattr(plugins, "_loaded", set())
    return tmp_path


@PLUGINS
@pytest.mark.usefixtures("installed")
def test_a_plugin_that_does_not_load_is_told(plugin):
    with pytest.raises(MlmfastError, match=f"{plugin.package} does not load: "):
        plugins.plugin_device(plugin)


@PLUGINS
@pytest.mark.usefixtures("installed")
def test_a_plugin_without_a_device_is_told(monkeypatch, plugin):
    monkeypatch.setattr(plugins, "_loaded", {plugin.package})
    with pytest.raises(MlmfastError, match=f"{plugin.package} finds no {plugin.hardware}"):
        plugins.plugin_device(plugin)


@pytest.mark.usefixtures("installed")
def test_a_plugin_for_devices_of_another_maker_is_told(monkeypatch):
    hardware = SimpleNamespace(type=SimpleNamespace(name="CPU"), vendor="AMD", vendor_id=0x1022)
    cpu = SimpleNamespace(ep_name="CPUExecutionProvider", device=hardware)
    monkeypatch.setattr("onnxruntime.get_ep_devices", lambda: [cpu])
    monkeypatch.setattr(plugins, "_loaded", {plugins.OPENVINO.package})
    with pytest.raises(DeviceNotFoundError) as refused:
        plugins.plugin_device(plugins.OPENVINO)
    assert str(refused.value) == (
        "onnxruntime-ep-openvino finds no CPU that it can use: it takes those of Intel only, "
        "and this one is of AMD. Use device='cpu'."
    )


def test_the_cuda_runtime_beside_a_plugin_is_loaded_before_it(installed, monkeypatch):
    loaded = []
    monkeypatch.setattr(plugins.ctypes, "CDLL", lambda path, **_: loaded.append(path))
    (installed / "libcudart.so.13.4").write_bytes(b"no library either")
    with pytest.raises(MlmfastError, match="does not load: "):
        plugins.plugin_device(plugins.TENSORRT_RTX)
    assert loaded == [str(installed / "libcudart.so.13.4")]


@pytest.mark.usefixtures("installed")
def test_an_onnxruntime_that_takes_no_plugins_is_told(monkeypatch):
    import onnxruntime

    monkeypatch.delattr(onnxruntime, "register_execution_provider_library")
    with pytest.raises(MissingDependencyError, match=r"needs onnxruntime >= 1\.23, and"):
        plugins.plugin_device(plugins.OPENVINO)


@pytest.fixture
def dry_run(monkeypatch):
    """Let onnxruntime's CPU provider stand in for TensorRT-RTX, as a plugin."""
    import onnxruntime

    if not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"):
        pytest.skip("this onnxruntime does not tell what runs a node")
    monkeypatch.setattr(plugins, "plugin_device", lambda _plugin: onnxruntime.get_ep_devices()[0])
    stand_in = replace(plugins.TENSORRT_RTX, provider="CPUExecutionProvider")
    monkeypatch.setitem(session.PLUGIN_OF, "tensorrt-rtx", stand_in)


@pytest.mark.usefixtures("dry_run")
def test_a_plugin_answers_as_the_cpu_provider_does(tiny_model):
    folder = tiny_model("bert").onnx
    ours, theirs = FillMask(folder, device="tensorrt-rtx"), FillMask(folder, device="cpu")
    assert (ours.device, theirs.device) == ("tensorrt-rtx", "cpu")
    for found, expected in zip(rows(ours(TEXTS * 3)), rows(theirs(TEXTS * 3)), strict=True):
        assert found["token"] == expected["token"]
        assert found["score"] == pytest.approx(expected["score"], abs=GRAPHS)


@pytest.mark.usefixtures("dry_run")
def test_a_plugin_that_takes_no_node_is_refused(tiny_model, monkeypatch):
    monkeypatch.setitem(session.PLUGIN_OF, "tensorrt-rtx", plugins.TENSORRT_RTX)
    with pytest.raises(MlmfastError, match="TensorRT-RTX takes no part of the graph"):
        FillMask(tiny_model("bert").onnx, device="tensorrt-rtx")


@pytest.mark.usefixtures("dry_run")
def test_a_plugin_that_computes_something_else_is_refused(tiny_sparse, other_weights, monkeypatch):
    wrong = open_session(other_weights / "fill_mask.onnx", CPU)
    monkeypatch.setattr(Engine, "_reference", lambda _engine: wrong)
    with pytest.raises(MlmfastError, match=r"does not agree with .*device='cpu'"):
        FillMask(tiny_sparse("bert").onnx, device="tensorrt-rtx")


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    checkpoint = save_checkpoint("bert", folder / "checkpoint", initializer_range=0.3)
    return export(checkpoint, folder / "onnx", task="sparse").output


@pytest.mark.parametrize("file", ["fill_mask.onnx", "model.onnx", "sparse.onnx"])
def test_sessions_that_disagree_are_refused(tiny_sparse, other_weights, file):
    graphs = [tiny_sparse("bert").onnx / file, other_weights / file]
    ours, other = (open_session(graph, CPU) for graph in graphs)
    config = json.loads((other_weights / "config.json").read_text())
    known = {"vocab_size": config["vocab_size"], "pad_id": config["pad_token_id"]}
    agreement.require_agreement(open_graph(graphs[0], ours), ours, ours, **known)
    with pytest.raises(MlmfastError, match=r"does not agree with .* differ by .*device='cpu'"):
        agreement.require_agreement(open_graph(graphs[0], ours), ours, other, **known)


OF_INTEL = "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8")


@pytest.fixture
def openvino():
    pytest.importorskip("onnxruntime_ep_openvino", reason="OpenVINO's plugin is not installed")


on_intel = pytest.mark.skipif(
    not OF_INTEL, reason="OpenVINO's plugin takes Intel's processors only"
)


@pytest.mark.skipif(OF_INTEL, reason="OpenVINO's plugin takes this processor")
@pytest.mark.usefixtures("openvino")
def test_openvino_is_refused_on_the_processor_of_another_maker(tiny_model):
    with pytest.raises(DeviceNotFoundError, match="it takes those of Intel only, and this one is "):
        FillMask(tiny_model("bert").onnx, device="openvino")


@on_intel
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


@on_intel
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
