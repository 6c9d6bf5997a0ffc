"""Who writes model.onnx: mlmfast, Optimum or transformers.exporters, and what each needs."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError
from unittest import mock

import onnx
import pytest
from click.testing import CliRunner

import mlmfast
from architectures import tiny_model as tiny_random_model
from mlmfast.cli.export import command
from mlmfast.errors import InputError, MissingDependencyError, MlmfastError
from mlmfast.exporting.checkpoint import Checkpoint
from mlmfast.exporting.export import export
from mlmfast.exporting.exporters import by_optimum, by_transformers

TEXT = "paris is the [MASK] of france"


def require(module):
    try:
        module.require()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture
def optimum():
    require(by_optimum)
    import optimum.exporters.onnx

    with mock.patch.object(
        optimum.exporters.onnx,
        "onnx_export_from_model",
        wraps=optimum.exporters.onnx.onnx_export_from_model,
    ) as write:
        yield write


@pytest.fixture(scope="module")
def by_third(tiny_model, tmp_path_factory):
    require(by_transformers)
    output = tmp_path_factory.mktemp("by_transformers") / "onnx"
    options = {"exporter": "transformers", "precision": "int8", "min_agreement": 0, "opset": 19}
    return export(tiny_model("bert").checkpoint, output, **options)


def signature(folder):
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    return [{entry.name for entry in side} for side in (graph.input, graph.output)]


def answers(folder):
    return [row["token_str"] for row in mlmfast.FillMask(folder, device="cpu")(TEXT, top_k=5)]


def test_mlmfast_writes_it_unless_another_is_asked_for(optimum, tiny_model, tmp_path):
    done = CliRunner().invoke(command, [str(tiny_model("bert").checkpoint), str(tmp_path / "own")])
    assert "model.onnx, written by mlmfast, ONNX opset 17" in done.stdout
    assert not optimum.called
    arguments = [str(tiny_model("bert").checkpoint), str(tmp_path / "other")]
    done = CliRunner().invoke(command, [*arguments, "--exporter", "optimum"])
    assert optimum.call_count == 1
    assert "model.onnx, written by optimum" in done.stdout
    assert "fill_mask.onnx, written by mlmfast" in done.stdout
    report = json.loads((tmp_path / "other" / "export_report.json").read_text())
    assert report["graphs"]["model.onnx"]["exporter"] == "optimum"
    assert report["graphs"]["fill_mask.onnx"]["exporter"] == "mlmfast"
    assert report["versions"]["optimum-onnx"]
    assert signature(tmp_path / "own") == signature(tmp_path / "other")
    assert answers(tmp_path / "own") == answers(tmp_path / "other")


@pytest.mark.usefixtures("optimum")
def test_a_folder_with_optimums_graph_alone_opens_as_before(tiny_model, tmp_path):
    report = export(tiny_model("bert").checkpoint, tmp_path / "onnx", exporter="optimum")
    (tmp_path / "onnx" / "fill_mask.onnx").unlink()
    assert answers(report.output) == answers(tiny_model("bert").onnx)


@pytest.mark.parametrize("parts", [(), ("encoder_model.onnx", "decoder_model.onnx")])
def test_what_optimum_cannot_write_is_told_and_leaves_no_output(
    optimum, tiny_model, tmp_path, parts
):
    def write(_model, folder, **_options):
        if not parts:
            raise ValueError("no such type")
        for name in parts:
            (folder / name).touch()

    optimum.side_effect = write
    reason = "no such type" if not parts else "it wrote decoder_model.onnx, encoder_model.onnx, not"
    with pytest.raises(MlmfastError, match=rf"Optimum cannot export .*{reason}.*leave out"):
        export(tiny_model("bert").checkpoint, tmp_path / "onnx", exporter="optimum")
    assert list(tmp_path.iterdir()) == []


def without(*absent, **others):
    """Replace `importlib.metadata.version`: some packages are absent, some have other versions."""

    def version(name):
        if name in absent:
            raise PackageNotFoundError(name)
        return others.get(name, "1.0")

    return version


@pytest.fixture
def checkpoint(tiny_model, monkeypatch):
    """A checkpoint which must not be loaded before what is missing was told."""
    found = tiny_model("bert").checkpoint  # which is loaded where it is the first to ask for it
    monkeypatch.setattr("mlmfast.exporting.export.load_checkpoint", lambda _: pytest.fail("loaded"))
    return found


def test_an_exporter_that_is_not_installed_is_told_with_the_command(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(by_optimum, "version", without("optimum-onnx"))
    with pytest.raises(MissingDependencyError) as told:
        export(checkpoint, tmp_path / "onnx", exporter="optimum")
    expected = "The exporter optimum is not installed: pip install 'mlmfast[optimum]'"
    assert str(told.value) == expected

    monkeypatch.setattr(by_optimum, "version", without(transformers="5.24.0"))
    monkeypatch.setitem(sys.modules, "optimum.exporters.onnx", None)
    with pytest.raises(MissingDependencyError, match=r"with transformers 5\.24\.0 .*pip install"):
        export(checkpoint, tmp_path / "onnx", exporter="optimum")

    old = without("onnxscript", transformers="4.57.6")
    monkeypatch.setattr(by_transformers, "version", old)
    with pytest.raises(MissingDependencyError) as told:
        export(checkpoint, tmp_path / "onnx", exporter="transformers")
    assert str(told.value) == (
        "The exporter transformers needs transformers >= 5.23 and onnxscript, and transformers "
        "4.57.6 is installed and onnxscript is not installed: "
        "pip install 'transformers>=5.23' onnxscript"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_no_exporter_can_is_refused_before_anything_is_loaded(
    checkpoint, tmp_path, monkeypatch
):
    with pytest.raises(InputError, match="exporter must be one of mlmfast, optimum, transformers"):
        export(checkpoint, tmp_path / "onnx", exporter="torch")
    monkeypatch.setattr(by_transformers, "version", without(transformers="5.24.0"))
    with pytest.raises(InputError, match="writes opset 18 and later, and opset is 17"):
        export(checkpoint, tmp_path / "onnx", exporter="transformers", opset=17)
    assert list(tmp_path.iterdir()) == []


def test_transformers_own_exporter_writes_it(by_third, tiny_model):
    exporters = {name: graph.exporter for name, graph in by_third.graphs.items()}
    assert exporters == {"model.onnx": "transformers", "fill_mask.onnx": "mlmfast"}
    assert by_third.graphs["model.onnx"].opset == 19
    assert by_third.versions["onnxscript"]
    assert signature(by_third.output) == signature(tiny_model("bert").onnx)
    # Its nodes would carry stack traces with the paths of this machine.
    assert b".py" not in (by_third.output / "model.onnx").read_bytes()
    products = by_third.graphs["model.onnx"].operators
    assert any("Integer" in name for name in products), products


def test_its_other_outputs_are_left_out():
    require(by_transformers)
    graph = by_transformers.export_model(tiny_random_model("bart")).graph
    assert [entry.name for entry in graph.output] == ["logits"]
    axes = [[axis.dim_param for axis in entry.type.tensor_type.shape.dim] for entry in graph.input]
    assert axes == [["batch", "length"]] * 2


def test_what_it_cannot_write_is_told_in_one_sentence(tmp_path, monkeypatch):
    def fail(_model, **_options):
        raise RuntimeError("no lowering\nfor aten.fft")

    monkeypatch.setattr(by_transformers, "export_model", fail)
    with pytest.raises(
        MlmfastError, match=r"^transformers.exporters cannot export it: no lowering"
    ):
        by_transformers.write(Checkpoint("it", None, None), tmp_path / "model.onnx", None)
