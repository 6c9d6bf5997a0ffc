"""fill_mask_fixed.onnx: what fill_mask.onnx gives for a constant top_k, on the same weights."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from mlmfast.errors import ExportMismatchError, InputError
from mlmfast.exporting import fixed_graph
from mlmfast.exporting.export import export


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_nothing_of_it_depends_on_the_cpu(tiny_model, tmp_path, precision):
    checkpoint = tiny_model("bert").checkpoint
    folder = export(
        checkpoint, tmp_path / "onnx", cuda_graphs=True, precision=precision, min_agreement=0
    ).output
    model = onnx.load(folder / fixed_graph.FIXED, load_external_data=False)
    assert not {"If", "Loop", "Scan"} & {node.op_type for node in model.graph.node}
    assert [entry.name for entry in model.graph.input] == [
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "mask_positions",
    ]
    assert [entry.name for entry in model.graph.output] == ["scores", "tokens"]
    assert sum(len(each.raw_data) for each in model.graph.initializer) < 20_000
    # The softmax of the answers is in float32 whatever the precision.
    scores = next(each for each in model.graph.output if each.name == "scores")
    assert scores.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    session = onnxruntime.InferenceSession(folder / fixed_graph.FIXED)
    ids = np.array([[2, 8, 4, 9, 3]])
    feed = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}
    scores, tokens = session.run(None, feed | {"mask_positions": np.array([2, 2, 3])})
    assert scores.shape == tokens.shape == (3, 10)
    report = json.loads((folder / "export_report.json").read_text())
    assert fixed_graph.FIXED in report["files"]


def test_it_is_not_written_unless_asked_for(tiny_model):
    assert not (tiny_model("bert").onnx / fixed_graph.FIXED).exists()


def test_a_graph_that_gives_something_else_is_no_export(tiny_model, tmp_path, monkeypatch):
    fix = fixed_graph.fix_top_k

    def wrong(model, top_k):
        fix(model, top_k)
        best = next(node for node in model.graph.node if node.op_type == "TopK")
        next(each for each in best.attribute if each.name == "largest").i = 0

    monkeypatch.setattr(fixed_graph, "fix_top_k", wrong)
    with pytest.raises(ExportMismatchError, match=r"fill_mask_fixed\.onnx does not give"):
        export(tiny_model("bert").checkpoint, tmp_path / "onnx", cuda_graphs=True)
    assert not (tmp_path / "onnx").exists()


def test_eight_bits_are_refused_at_once(tiny_model, tmp_path):
    with pytest.raises(InputError, match="cuda_graphs is for GPUs, and int8"):
        export(tiny_model("bert").checkpoint, tmp_path / "no", cuda_graphs=True, precision="int8")
