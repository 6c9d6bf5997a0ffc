"""Lower precisions: how near they stay, what the folder holds, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlmfast.errors import ExportMismatchError, InputError, NotFoundError
from mlmfast.exporting.export import export
from mlmfast.exporting.graph.graph import Graph
from mlmfast.exporting.quantization.convert import Precision, quantize
from mlmfast.exporting.quantization.int8 import (
    BLOCK,
    eight_bits_overflow,
    round_blocks,
    round_rows,
    to_int8,
)
from mlmfast.serving.fill_mask import FillMask
from tolerances import SUMS

TEXTS = ["paris is the {}", "a {} far in the solar system", "the {} is {} in the south"]


def test_rows_are_rounded_to_the_nearest_step_and_zeros_stay():
    matrix = np.random.default_rng(0).normal(size=(5, 300)).astype(np.float32)
    matrix[2] = 0
    values, scales = round_rows(matrix)
    assert values.dtype == np.int8
    assert abs(values.astype(int)).max() == 127
    assert (abs(values * scales[:, None] - matrix) <= scales[:, None] * 0.501).all()
    assert abs(round_rows(matrix, 63)[0].astype(int)).max() == 63


def test_a_block_has_a_scale_of_its_own_and_the_last_is_filled_up():
    matrix = np.ones((2, BLOCK + 3), dtype=np.float32)
    matrix[0, 0], matrix[1, BLOCK:] = 100, 0.01
    values, scales = round_blocks(matrix)
    assert values.shape == (2, 2, BLOCK)
    restored = (values.astype(np.float32) - 128) * scales.reshape(2, 2, 1)
    assert np.allclose(restored.reshape(2, -1)[1, : BLOCK + 3], matrix[1])
    assert not restored[:, 1, 3:].any()


def product_graph(kind: str, matrix: np.ndarray) -> onnx.ModelProto:
    """A product with a matrix [K, N] in one of the forms that exporters write."""
    turned = kind != "MatMul"
    nodes = {
        "MatMul": [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "Gemm": [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)],
        "Transpose": [
            helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
            helper.make_node("MatMul", ["x", "t"], ["y"]),
        ],
    }[kind]
    depth, width = matrix.shape
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", depth])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", width])],
        [
            numpy_helper.from_array(np.ascontiguousarray(matrix.T if turned else matrix), "w"),
            numpy_helper.from_array(np.arange(width, dtype=np.float32), "b"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "Transpose"])
@pytest.mark.parametrize("blocks", [False, True])
def test_every_form_of_a_product_stays_near(kind, blocks):
    draw = np.random.default_rng(1)
    matrix = draw.normal(size=(160, 48)).astype(np.float32)
    rows = draw.normal(size=(7, 160)).astype(np.float32)
    model = product_graph(kind, matrix)
    reduced = not blocks and eight_bits_overflow()  # to seven bits, whose steps are twice as wide
    assert to_int8(model, blocks=blocks, reduce_range=reduced).products == 1
    assert not any(tensor.name == "w" for tensor in model.graph.initializer)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(["y"], {"x": rows})[0]
    expected = rows @ matrix + (np.arange(48) if kind == "Gemm" else 0)
    limit = 0.04 if reduced else 0.02
    assert 0 < abs(found - expected).max() < limit * abs(rows @ matrix).max()


@pytest.fixture(scope="module")
def lowered(tiny_model, tmp_path_factory):
    """Folders of one model, by precision; int8 judged on a file of the user's."""
    model = tiny_model("bert")
    folder = tmp_path_factory.mktemp("precisions")
    texts = folder / "texts.txt"
    texts.write_text("paris is the capital\n\nthe solar system is far\n", encoding="utf-8")
    reports = {
        name: export(
            model.checkpoint,
            folder / name,
            precision=name,
            min_agreement=0,
            # As docs/precision.md advises for this processor.
            reduce_range=name == "int8" and eight_bits_overflow(),
            calibration=texts if name == "int8" else None,
        )
        for name in ("fp16", "int8", "int8-block")
    }
    return model, folder, reports


# The tiny model's weights are spread so wide that 8 bits move a score by up to 0.19, and PyTorch's
# own products of numbers rounded alike do the same; a quarter as wide, none moves by 0.001.
@pytest.mark.parametrize(
    ("name", "mean", "largest"),
    [("fp16", 0.0005, 0.005), ("int8", 0.01, 0.1), ("int8-block", 0.01, 0.1)],
)
def test_the_folder_answers_near_float32_and_is_smaller(lowered, name, mean, largest):
    model, folder, reports = lowered
    texts = [text.replace("{}", model.mask) for text in TEXTS]
    exact, ours = (FillMask(place)(texts, top_k=20) for place in (model.onnx, folder / name))
    shifts = []
    for theirs, mine in zip(exact[:2], ours[:2], strict=True):
        expected = {row["token"]: row["score"] for row in theirs}
        shared = [row for row in mine if row["token"] in expected]
        assert len(shared) >= 15
        shifts += [abs(row["score"] - expected[row["token"]]) for row in shared]
    assert np.mean(shifts) < mean
    assert max(shifts) < largest
    if name != "int8-block":  # which fills rows of 32 up to a block of 128
        weights = [place / "model.onnx_data" for place in (folder / name, model.onnx)]
        assert weights[0].stat().st_size < weights[1].stat().st_size

    report = json.loads((folder / name / "export_report.json").read_text())
    assert (report["precision"], report["judgement"]["built_in"]) == (
        name,
        name != "int8",
    )
    judged = reports[name].judgement
    assert judged.texts == 2 if name == "int8" else judged.masks > 40
    assert not list((folder / name).glob(".lower*"))
    graph = onnx.load(folder / name / "fill_mask.onnx", load_external_data=False)
    assert {e.key: e.value for e in graph.metadata_props}["mlmfast.precision"] == name


def test_blocks_answer_alike_whatever_stands_beside_the_text(lowered):
    _, folder, _ = lowered
    session = onnxruntime.InferenceSession(folder / "int8-block" / "fill_mask.onnx")
    ids = np.random.default_rng(2).integers(5, 20, (4, 12))
    asked = {"top_k": np.array(3), "targets": np.zeros(0, np.int64)}
    asked["want_probabilities"] = np.array(False)

    def scores(rows: np.ndarray) -> np.ndarray:
        feed = {"input_ids": rows, "attention_mask": np.ones_like(rows)}
        feed |= {"token_type_ids": np.zeros_like(rows)}
        feed |= {"mask_positions": np.arange(len(rows)) * 12 + 4, **asked}
        known = {entry.name for entry in session.get_inputs()}
        return session.run(["scores"], {k: v for k, v in feed.items() if k in known})[0]

    alone = np.concatenate([scores(row[None]) for row in ids])
    assert np.allclose(scores(ids), alone, atol=SUMS)


@pytest.mark.parametrize("overflow", [False, True])
def test_too_little_agreement_changes_nothing(tiny_model, tmp_path, monkeypatch, caplog, overflow):
    from transformers import AutoTokenizer

    monkeypatch.setattr(
        "mlmfast.exporting.quantization.convert.eight_bits_overflow", lambda: overflow
    )

    folder = tmp_path / "onnx"
    shutil.copytree(tiny_model("bert").onnx, folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(ExportMismatchError, match=r"In int8, .* 100\.0% .*--min-agreement") as told:
        quantize(
            [folder / "model.onnx", folder / "fill_mask.onnx"],
            AutoTokenizer.from_pretrained(folder),
            Precision("int8", min_agreement=1),
            max_length=64,
        )
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    # Seven bits are advised where eight overflow, and nowhere else.
    assert ("--reduce-range" in str(told.value)) == ("--reduce-range" in caplog.text) == overflow


def test_seven_bits_do_not_overflow():
    """What --reduce-range is for: the largest sums are right on every processor."""
    matrix = np.full((64, 8), 1.0, np.float32)
    rows = np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(3, 0)
    model = product_graph("MatMul", matrix)
    assert to_int8(model, reduce_range=True).products == 1
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(["y"], {"x": rows})[0]
    # Seven bits: one step is 1/127.
    assert np.allclose(found, rows @ matrix, rtol=0.01)


def test_an_export_that_agrees_too_little_leaves_the_folder_as_it_was(tiny_model, tmp_path):
    model = tiny_model("bert")
    folder = shutil.copytree(model.onnx, tmp_path / "onnx")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(ExportMismatchError, match=r"In int8, .* Nothing was written"):
        export(model.checkpoint, folder, precision="int8", min_agreement=1, overwrite=True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    with pytest.raises(ExportMismatchError, match=r"In int8, "):
        export(model.checkpoint, tmp_path / "new", precision="int8", min_agreement=1)
    assert [file.name for file in tmp_path.iterdir()] == ["onnx"]


def test_a_second_change_of_a_graph_invents_other_names():
    model = product_graph("MatMul", np.ones((4, 4), dtype=np.float32))
    for node in model.graph.node:
        node.name = "rows/node_2"
    graph = Graph(model)
    assert {graph.fresh("node") for _ in range(3)}.isdisjoint({"rows/node_2"})


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"precision": "int4"}, InputError, "one of fp32, fp16, int8, int8-block, not int4"),
        ({"reduce_range": True}, InputError, "belongs to int8"),
        ({"min_agreement": 90}, InputError, "a share from 0 to 1"),
        ({"precision": "int8", "calibration": "none.txt"}, NotFoundError, "none.txt"),
        ({"precision": "int8", "calibration": []}, InputError, "at least one"),
    ],
)
def test_bad_options_are_refused_before_any_work(tmp_path, options, kind, message):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(kind, match=message):
        export(tmp_path / "model", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
