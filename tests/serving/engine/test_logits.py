"""Answers from the logits of a model.onnx, which never leave the device they were computed on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from mlmfast.errors import MlmfastError
from mlmfast.serving.engine import logits
from mlmfast.serving.engine.graphs import LogitsGraph
from mlmfast.serving.types import Batch
from tolerances import KERNELS
from write_logits_answers import KINDS, answers_graph


@pytest.mark.parametrize("kind", logits.LOGITS_GRAPHS)
def test_the_graphs_of_the_package_are_those_that_the_script_writes(kind):
    kept = Path(logits.__file__).with_name(logits.LOGITS_GRAPHS[kind])
    assert onnx.load(kept) == answers_graph(kind)


@pytest.fixture(params=logits.LOGITS_GRAPHS)
def graph(request, tmp_path):
    """A LogitsGraph whose logits are a table's rows, by token id; its session and the table."""
    kind = KINDS[request.param]
    table = (
        np.random.default_rng(0).normal(size=(40, 40)).astype(helper.tensor_dtype_to_np_dtype(kind))
    )
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Gather", ["table", "input_ids"], ["logits"])],
            "table",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "l"])],
            [helper.make_tensor_value_info("logits", kind, ["b", "l", 40])],
            [onnx.numpy_helper.from_array(table, "table")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return LogitsGraph(tmp_path / "model.onnx", session), session, table.astype(np.float64)


def batch_of(ids, positions, top_k=None, targets=None):
    return Batch({"input_ids": ids}, np.array(positions), [1] * len(positions), top_k, targets)


def test_the_best_tokens_and_the_targets_are_those_of_the_softmax(graph):
    ours, session, table = graph
    ids = np.random.default_rng(1).integers(0, 40, (3, 5))
    shares = np.exp(table)
    shares /= shares.sum(-1, keepdims=True)
    positions = [14, 0, 6, 6]
    expected = shares[ids.reshape(-1)[positions]]
    for top_k in (0, 1, 7, 40):
        found = ours.run(session, batch_of(ids, positions, top_k)).best
        assert found.tokens.shape == found.scores.shape == (4, top_k)
        assert found.scores.dtype == np.float32
        order = np.argsort(-expected, axis=-1)[:, :top_k]
        assert np.allclose(found.scores, np.take_along_axis(expected, order, -1), rtol=KERNELS)
        assert np.allclose(
            found.scores, np.take_along_axis(expected, found.tokens, -1), rtol=KERNELS
        )
    targets = np.array([2, 5, 39])
    both = ours.run(session, batch_of(ids, positions, 5, targets))
    alone = ours.run(session, batch_of(ids, positions, targets=targets))
    assert alone.best is None
    assert np.array_equal(both.best.tokens, np.argsort(-expected, axis=-1)[:, :5])
    for found in (both.targets, alone.targets):
        assert found.tokens is targets
        assert np.allclose(found.scores, expected[:, targets], rtol=KERNELS)


def test_a_failure_names_the_batch(graph):
    ours, session, _ = graph
    with pytest.raises(MlmfastError, match="a batch of 2 x 3 tokens"):
        ours.run(session, batch_of(np.full((2, 3), 77), [0], 5))
    with pytest.raises(MlmfastError, match="a batch of 2 x 3 tokens"):
        ours.run(session, batch_of(np.zeros((2, 3), np.int64), [6], 5))
