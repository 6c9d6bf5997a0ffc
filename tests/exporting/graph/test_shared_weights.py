"""Weights of an export: stored once, for both graphs and for both ends of the model."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mlmfast.exporting.graph.shared_weights import WEIGHTS, share_weights, tie_decoder
from mlmfast.exporting.parity.logits import open_graph
from tolerances import LAYERS

TABLE = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
BIAS = np.arange(40, dtype=np.float32)


def tied(*, bias: bool):
    """Rows of an embedding and their products with it, as the tracer writes them."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "turned"], ["products"]),
        helper.make_node("Add", ["bias" if bias else "ids_f", "products"], ["logits"]),
        helper.make_node("Cast", ["ids"], ["ids_i"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["ids_i", "last"], ["ids_f"]),
    ]
    graph = helper.make_graph(
        nodes if not bias else nodes[:3],
        "tied",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["b", "l"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "l", 40])],
        [
            numpy_helper.from_array(TABLE, "table"),
            numpy_helper.from_array(np.ascontiguousarray(TABLE.T), "turned"),
            numpy_helper.from_array(BIAS, "bias"),
            numpy_helper.from_array(np.array([-1]), "last"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_tied_decoder_uses_the_embedding_itself(tmp_path):
    ids = np.array([[3, 0, 39], [7, 7, 8]])
    for bias in (True, False):
        model = tied(bias=bias)
        assert tie_decoder(model)
        assert "turned" not in {tensor.name for tensor in model.graph.initializer}
        onnx.save(model, tmp_path / "tied.onnx")
        found = open_graph(tmp_path / "tied.onnx").run(None, {"ids": ids})[0]
        expected = TABLE[ids] @ TABLE.T + (BIAS if bias else ids[..., None])
        np.testing.assert_allclose(found, expected, rtol=LAYERS, atol=LAYERS)


def test_a_decoder_of_its_own_stays():
    model = tied(bias=True)
    turned = next(tensor for tensor in model.graph.initializer if tensor.name == "turned")
    turned.CopyFrom(numpy_helper.from_array(np.ones((16, 40), dtype=np.float32), "turned"))
    assert not tie_decoder(model)
    assert "MatMul" in {node.op_type for node in model.graph.node}


def test_graphs_of_a_folder_share_one_file(tmp_path):
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path, external in zip(paths, (False, True), strict=True):
        onnx.save(tied(bias=True), path, save_as_external_data=external, location="old")
    share_weights(paths)
    assert {file.name for file in tmp_path.iterdir()} == {"a.onnx", "b.onnx", WEIGHTS}
    # The table and its transpose, each on a page of its own.
    assert (tmp_path / WEIGHTS).stat().st_size == 4096 + TABLE.nbytes
    for path in paths:
        assert path.stat().st_size < TABLE.nbytes
        found = open_graph(path).run(None, {"ids": np.array([[5]])})[0]
        np.testing.assert_allclose(found[0, 0], TABLE[5] @ TABLE.T + BIAS, rtol=LAYERS, atol=LAYERS)


def test_an_export_stores_each_parameter_once(tiny_model):
    from safetensors import safe_open

    for kind in ("roberta", "distilbert"):
        folder = tiny_model(kind).onnx
        with safe_open(tiny_model(kind).checkpoint / "model.safetensors", "np") as file:
            large = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
        pages = sum(-(-4 * int(np.prod(shape)) // 4096) * 4096 for shape in large)
        assert (folder / WEIGHTS).stat().st_size <= pages


def test_rows_of_a_matrix_are_stored_within_it(tmp_path):
    """As the head of a sparse encoder has its embedding in blocks."""
    rng = np.random.default_rng(1)
    table = rng.normal(size=(512, 64)).astype(np.float32)
    for name, rows in (("whole", table), ("rows", table[128:384]), ("other", table[::2])):
        graph = helper.make_graph(
            [helper.make_node("Gather", ["table", "ids"], ["found"])],
            name,
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["b"])],
            [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["b", 64])],
            [numpy_helper.from_array(np.ascontiguousarray(rows), "table")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, tmp_path / f"{name}.onnx")
    share_weights([tmp_path / f"{name}.onnx" for name in ("whole", "rows", "other")])
    # Every second row is no part of the matrix.
    assert (tmp_path / WEIGHTS).stat().st_size == 512 * 64 * 4 + 256 * 64 * 4
    for name, rows in (("whole", table), ("rows", table[128:384]), ("other", table[::2])):
        found = open_graph(tmp_path / f"{name}.onnx").run(None, {"ids": np.array([0, 5, 255])})[0]
        np.testing.assert_array_equal(found, rows[[0, 5, 255]])
