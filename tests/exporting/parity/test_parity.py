"""The comparison with PyTorch: a graph that computes something else must not pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlmfast.errors import ExportMismatchError, InputError
from mlmfast.exporting.architectures import max_graph_length
from mlmfast.exporting.checkpoint import load_checkpoint, quiet
from mlmfast.exporting.parity.logits import (
    ShapeParity,
    compare,
    random_inputs,
    require_parity,
    shapes,
)


@pytest.fixture(scope="module")
def checkpoint(tiny_model):
    with quiet():
        return load_checkpoint(tiny_model("roberta").checkpoint)


def edited(source, target, edit):
    """Save the graph `source` as `target` after `edit` changed it."""
    import onnx

    model = onnx.load(source)
    edit(model.graph)
    onnx.save(model, target)
    return target


def weight(graph, ending):
    from onnx import numpy_helper

    tensor = next(t for t in graph.initializer if t.name.endswith(ending))
    return tensor, numpy_helper.to_array(tensor).copy()


def test_a_true_graph_passes(tiny_model, checkpoint):
    results = compare(tiny_model("roberta").onnx / "model.onnx", checkpoint, max_difference=1e-4)
    assert len(results) == 5
    assert all(result.passed and result.top1_agreement == 1 for result in results)
    require_parity(results)


def test_a_changed_weight_fails(tiny_model, checkpoint, tmp_path):
    from onnx import numpy_helper

    def edit(graph):
        tensor, values = weight(graph, "lm_head.bias")
        values[7] += 0.01
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    graph = edited(tiny_model("roberta").onnx / "model.onnx", tmp_path / "bent.onnx", edit)
    results = compare(graph, checkpoint, max_difference=1e-4)
    assert not any(result.passed for result in results)
    # The bias moves one logit by 0.01, beside differences of about 1e-4 that are there anyway.
    assert all(result.difference == pytest.approx(0.01, rel=0.1) for result in results)
    with pytest.raises(ExportMismatchError, match=r"5 of 5 shapes failed"):
        require_parity(results)


def test_a_graph_that_forgets_positions_beyond_the_traced_ones_fails(
    tiny_model, checkpoint, tmp_path
):
    from onnx import numpy_helper

    def edit(graph):
        tensor, values = weight(graph, "position_embeddings.weight")
        values[18 + 1 :] = values[18]  # 16 tokens reach row 17
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    graph = edited(tiny_model("roberta").onnx / "model.onnx", tmp_path / "short.onnx", edit)
    results = compare(graph, checkpoint, max_difference=1e-4)
    assert [result.passed for result in results] == [True, True, False, False, False]


def test_a_graph_frozen_to_one_size_fails(tiny_model, checkpoint, tmp_path):
    def edit(graph):
        for entry in graph.input:
            entry.type.tensor_type.shape.dim[0].dim_value = 2
            entry.type.tensor_type.shape.dim[1].dim_value = 16

    graph = edited(tiny_model("roberta").onnx / "model.onnx", tmp_path / "frozen.onnx", edit)
    with pytest.raises(ExportMismatchError, match="fails at 1 x 9 tokens"):
        compare(graph, checkpoint, max_difference=1e-4)


def test_a_graph_that_ignores_the_attention_mask_fails_at_the_padded_shape(
    tiny_model, checkpoint, tmp_path
):
    from onnx import TensorProto, helper

    def edit(graph):
        for node in graph.node:
            node.input[:] = [
                "every_token" if name == "attention_mask" else name for name in node.input
            ]
        shape = helper.make_node("Shape", ["input_ids"], ["their_shape"])
        one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
        ones = helper.make_node("ConstantOfShape", ["their_shape"], ["every_token"], value=one)
        graph.node.insert(0, ones)
        graph.node.insert(0, shape)

    graph = edited(tiny_model("roberta").onnx / "model.onnx", tmp_path / "blind.onnx", edit)
    results = compare(graph, checkpoint, max_difference=1e-4)
    assert [str(result) for result in results if not result.passed] == ["3 x 24, padded"]


def test_a_broken_file_is_a_mismatch(checkpoint, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07 cut short")
    with pytest.raises(ExportMismatchError, match="cannot open"):
        compare(tmp_path / "model.onnx", checkpoint, max_difference=1e-4)


def test_nan_does_not_pass():
    result = ShapeParity(1, 9, padded=False, difference=0, limit=1, top1_agreement=1)
    require_parity([result])
    with pytest.raises(ExportMismatchError):
        require_parity([replace(result, difference=float("nan"))])


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_means_nothing_is_refused(tiny_model, checkpoint, limit):
    with pytest.raises(InputError, match="above 0"):
        compare(tiny_model("roberta").onnx / "model.onnx", checkpoint, max_difference=limit)


def test_shapes_keep_within_the_model():
    assert shapes(8192, padding=True)[-1] == (1, 512, False)
    assert shapes(None, padding=True)[-1] == (1, 512, False)
    assert shapes(20, padding=True) == [
        (1, 9, False),
        (2, 16, False),
        (3, 20, True),
        (5, 20, False),
        (1, 20, False),
    ]
    assert not any(padded for *_, padded in shapes(512, padding=False))


@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert", "roberta"])
def test_the_longest_input_is_what_the_model_really_takes(tiny_model, kind):
    with quiet():
        assert max_graph_length(load_checkpoint(tiny_model(kind).checkpoint).model) == 64


def test_a_model_without_segments_gets_none(checkpoint, monkeypatch):
    monkeypatch.setattr(checkpoint.model.config, "type_vocab_size", 0)  # as DeBERTa's
    assert not random_inputs(checkpoint, 2, 16, padded=False)["token_type_ids"].any()


def test_inputs_hold_masks_and_padding_only_at_the_end(checkpoint):
    inputs = random_inputs(checkpoint, 3, 24, padded=True)
    ids, real = inputs["input_ids"], inputs["attention_mask"]
    pad, mask = checkpoint.tokenizer.pad_token_id, checkpoint.tokenizer.mask_token_id
    assert real.sum(axis=1).tolist() == [24, 18, 12]
    assert (np.diff(real, axis=1) <= 0).all()
    assert ((ids == pad) == (real == 0)).all()
    assert (ids == mask).any()
