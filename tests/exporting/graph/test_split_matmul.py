"""Products cut in two: the same numbers, where the depth is a multiple of 1,024."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlmfast.exporting.export import export
from mlmfast.exporting.graph.split_matmul import parts, split_products
from tiny_models import save_checkpoint
from tolerances import GRAPHS, LAYERS


def product(depth: int) -> onnx.ModelProto:
    """Two products of the same rows [B, L, depth], joined."""
    draw = np.random.default_rng(depth)
    weights = [draw.normal(size=(depth, width)).astype(np.float32) for width in (5, 3)]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "v"], ["a"]),
            helper.make_node("MatMul", ["x", "w"], ["b"]),
            helper.make_node("Concat", ["a", "b"], ["y"], axis=-1),
        ],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "l", depth])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", "l", 8])],
        [numpy_helper.from_array(value, name) for name, value in zip("vw", weights, strict=True)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("depth", [1024, 2048, 3072, 4096])
def test_both_products_are_cut_and_their_rows_once(depth):
    model = product(depth)
    rows = np.random.default_rng(1).normal(size=(2, 7, depth)).astype(np.float32)
    expected = np.concatenate(
        [rows @ numpy_helper.to_array(tensor) for tensor in model.graph.initializer], axis=-1
    )
    assert split_products(model) == 2
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert np.allclose(session.run(["y"], {"x": rows})[0], expected, rtol=LAYERS, atol=GRAPHS)
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("MatMul"), kinds.count("Split")) == (4, 3)
    assert sum(parts(depth)) == depth
    assert all(part % 1024 for part in parts(depth))


@pytest.mark.parametrize("depth", [8, 768, 1536])
def test_other_depths_stay(depth):
    model = product(depth)
    before = model.SerializeToString()
    assert split_products(model) == 0
    assert model.SerializeToString() == before


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_export_cuts_float32_alone_and_stores_the_weights_once(tmp_path, precision):
    checkpoint = save_checkpoint("bert", tmp_path / "checkpoint", intermediate_size=1024)
    report = export(checkpoint, tmp_path / "onnx", precision=precision, min_agreement=0)
    graph = onnx.load(report.output / "fill_mask.onnx", load_external_data=False)
    cut = [node for node in graph.graph.node if node.op_type == "Sum"]
    assert len(cut) == (2 if precision == "fp32" else 0)
    if precision == "fp32":
        stored = (report.output / "model.onnx_data").stat().st_size
        assert stored < 1.2 * (checkpoint / "model.safetensors").stat().st_size
