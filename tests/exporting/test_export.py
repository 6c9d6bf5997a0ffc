"""Exporting: what lies in the folder, who can open it, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import mlmfast.exporting.parity.verify as proof
from mlmfast.errors import (
    ExportMismatchError,
    InputError,
    MissingDependencyError,
    NotFoundError,
    OutputExistsError,
)
from mlmfast.exporting.export import export
from mlmfast.exporting.parity.logits import ShapeParity
from places import SHARED, SHARED_MISSING
from tiny_models import KINDS
from tolerances import GRAPHS


@pytest.mark.parametrize("kind", KINDS)
def test_optimum_opens_the_folder_and_computes_what_the_checkpoint_computes(tiny_model, kind):
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    served_by = pytest.importorskip("optimum.onnxruntime", reason="Optimum is not installed")
    model = tiny_model(kind)
    tokenizer = AutoTokenizer.from_pretrained(model.onnx)
    batch = tokenizer(
        [f"paris is the {model.mask}", f"a {model.mask} far in the solar system"],
        padding=True,
        return_tensors="pt",
    )
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    served = served_by.ORTModelForMaskedLM.from_pretrained(model.onnx)(**batch).logits
    with torch.inference_mode():
        expected = AutoModelForMaskedLM.from_pretrained(model.checkpoint)(**batch).logits
    real = batch["attention_mask"].bool()
    np.testing.assert_allclose(served[real], expected[real], atol=GRAPHS)


def test_the_report_in_the_folder_tells_what_was_compared(tiny_model):
    model = tiny_model("roberta")
    report = json.loads((model.onnx / "export_report.json").read_text())
    assert report["written_by"] == "mlmfast export"
    assert (report["model_type"], report["mask_token"]) == ("roberta", "<mask>")
    assert report["versions"]["onnxruntime"]
    assert report["files"]["model.onnx"] == (model.onnx / "model.onnx").stat().st_size
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= report["files"].keys()
    graph = report["graphs"]["model.onnx"]
    assert graph["exporter"] == "mlmfast"
    shapes = [(c["batch"], c["length"], c["padded"]) for c in graph["comparisons"]]
    # 64, the last, is as many tokens as the model takes: 66 positions less 2 for padding.
    assert shapes == [
        (1, 9, False),
        (2, 16, False),
        (3, 24, True),
        (5, 40, False),
        (1, 64, False),
    ]
    assert all(0 < c["difference"] < c["limit"] for c in graph["comparisons"])

    fused = report["graphs"]["fill_mask.onnx"]
    assert (fused["exporter"], fused["head"], fused["last_layer"]) == ("mlmfast", "masked rows", 6)
    masks = [(c["batch"], c["length"], c["masks"]) for c in fused["comparisons"]]
    # One mask a text, then as many as 12 in all texts but the first.
    assert masks[4:6] == [(3, 24, 3), (3, 24, 12)]
    assert all(0 < c["difference"] < c["limit"] for c in fused["comparisons"])
    for found in (graph, fused):
        assert found["difference"] == max(c["difference"] for c in found["comparisons"])
        own = [count for name, count in found["operators"].items() if "microsoft" in name]
        assert found["fused_operators"] == sum(own) > 0
    assert (report["precision"], report["longest"], report["padding_shows"]) == ("fp32", 64, False)


def test_the_opset_is_the_one_asked_for(tiny_model, tmp_path):
    import onnx

    report = export(tiny_model("distilbert").checkpoint, tmp_path / "onnx", opset=18)
    for name, found in report.graphs.items():
        graph = onnx.load(tmp_path / "onnx" / name)
        assert [entry.version for entry in graph.opset_import if not entry.domain] == [18]
        assert found.opset == 18
    with pytest.raises(InputError, match="between 14 and 21, and is 3"):
        export(tiny_model("distilbert").checkpoint, tmp_path / "old", opset=3)


def test_an_existing_output_stays_unless_it_is_ours_and_may_go(tiny_model, tmp_path):
    checkpoint = tiny_model("distilbert").checkpoint
    output = tmp_path / "onnx"
    export(checkpoint, output)
    (output / "marker").touch()
    with pytest.raises(OutputExistsError, match="--overwrite"):
        export(checkpoint, output)
    assert (output / "marker").exists()
    export(checkpoint, output, overwrite=True)
    assert not (output / "marker").exists()

    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter1.tex").touch()
    with pytest.raises(OutputExistsError):
        export(checkpoint, foreign, overwrite=True)
    assert (foreign / "chapter1.tex").exists()


def test_a_graph_that_differs_leaves_no_output(tiny_model, tmp_path, monkeypatch):
    failed = ShapeParity(3, 24, padded=True, difference=0.5, limit=1e-4, top1_agreement=0.4)
    monkeypatch.setattr(proof, "compare_fused", lambda *_, **__: [failed])
    with pytest.raises(ExportMismatchError, match=r"3 x 24, padded.*0\.5.*0\.0001"):
        export(tiny_model("distilbert").checkpoint, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_masked_lm_head_is_refused(tiny_model, tmp_path):
    from transformers import AutoModelForSequenceClassification

    checkpoint = shutil.copytree(tiny_model("bert").checkpoint, tmp_path / "classifier")
    AutoModelForSequenceClassification.from_pretrained(checkpoint).save_pretrained(checkpoint)
    with pytest.raises(InputError, match=r"BertForSequenceClassification.*would be random"):
        export(checkpoint, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_what_is_no_checkpoint_is_said_to_be_none(tiny_model, tmp_path):
    source = tiny_model("bert").checkpoint
    with pytest.raises(NotFoundError, match="no folder"):
        export(tmp_path / "nowhere", tmp_path / "onnx")
    with pytest.raises(InputError, match=r"no config\.json"):
        export(tmp_path, tmp_path / "onnx")
    with pytest.raises(InputError, match="is a file"):
        export(source / "config.json", tmp_path / "onnx")
    with pytest.raises(InputError, match="ONNX folder already"):
        export(tiny_model("bert").onnx, tmp_path / "onnx")

    bare = shutil.copytree(source, tmp_path / "bare")
    for file in bare.glob("*token*"):
        file.unlink()
    with pytest.raises(InputError, match="no tokenizer"):
        export(bare, tmp_path / "onnx")
    (bare / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="cannot be loaded"):
        export(bare, tmp_path / "onnx")
    (bare / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InputError, match="'gpt2', of which transformers has no masked"):
        export(bare, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_tokenizer_without_a_mask_token_is_refused(tiny_model, tmp_path):
    from transformers import PreTrainedTokenizerFast

    checkpoint = shutil.copytree(tiny_model("roberta").checkpoint, tmp_path / "checkpoint")
    for file in checkpoint.glob("*tokeni*_*"):
        file.unlink()
    PreTrainedTokenizerFast(
        tokenizer_file=str(checkpoint / "tokenizer.json"), pad_token="<pad>"
    ).save_pretrained(checkpoint)
    with pytest.raises(InputError, match="no mask token"):
        export(checkpoint, tmp_path / "onnx")


def test_missing_packages_are_named_with_the_way_to_install_them(tiny_model, tmp_path, monkeypatch):
    checkpoint = tiny_model("bert").checkpoint
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'mlmfast\[export,cpu\]'"):
        export(checkpoint, tmp_path / "onnx")


@pytest.mark.parametrize("first", ["", "import mlmfast.exporting.report", "mlmfast.ExportReport"])
def test_mlmfast_export_can_be_called_whatever_was_imported_before(first):
    code = f"import mlmfast\n{first}\nmlmfast.export('/no/where', 'onnx')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "There is no folder /no/where" in done.stderr


@pytest.mark.skipif(not SHARED.exists(), reason=SHARED_MISSING)
def test_a_published_model_passes_within_a_hundredth_of_the_limit(tmp_path):
    report = export(SHARED / "models" / "bert-tiny-splade", tmp_path / "onnx")
    for graph in report.graphs.values():
        assert [c.length for c in graph.comparisons][-1] == 512
        assert all(c.difference < c.limit / 50 for c in graph.comparisons)
    # Both graphs share their weights, and the head the embedding: 4 bytes a parameter.
    stored = sum(size for name, size in report.files.items() if "onnx" in name)
    assert stored < report.parameters * 4 * 1.05
