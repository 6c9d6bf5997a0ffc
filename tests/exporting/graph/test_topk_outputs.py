"""The end of fill_mask.onnx: scores, tokens, targets and probabilities from logits."""

from __future__ import annotations

import numpy as np
import pytest

from mlmfast.exporting.graph.topk_outputs import add_topk_outputs
from tolerances import KERNELS

VOCABULARY = 6
NOTHING = np.array([], dtype=np.int64)


@pytest.fixture(scope="module")
def answer():
    import onnxruntime
    from onnx import TensorProto, helper

    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["masks", VOCABULARY])
    given = helper.make_tensor_value_info("given", TensorProto.FLOAT, ["masks", VOCABULARY])
    node = helper.make_node("Identity", ["given"], ["logits"])
    graph = helper.make_graph([node], "logits", [given], [logits])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    add_topk_outputs(model, VOCABULARY)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def ask(logits, top_k, targets=NOTHING, probabilities=False):
        feed = {
            "given": np.array(logits, dtype=np.float32),
            "top_k": np.array(top_k),
            "targets": np.array(targets, dtype=np.int64),
            "want_probabilities": np.array(probabilities),
        }
        return session.run(["scores", "tokens", "target_scores", "probabilities"], feed)

    return ask


def test_scores_are_shares_of_the_whole_vocabulary_best_first(answer):
    logits = np.log(np.array([[1, 2, 3, 4, 5, 85]]) / 100)
    scores, tokens, targets, probabilities = answer(logits, 2, [0, 3])
    np.testing.assert_allclose(scores, [[0.85, 0.05]], rtol=KERNELS)
    assert tokens.tolist() == [[5, 4]]
    np.testing.assert_allclose(targets, [[0.01, 0.04]], rtol=KERNELS)
    assert probabilities.shape == (0, VOCABULARY)


def test_of_equal_scores_the_lower_id_comes_first(answer):
    _, tokens, _, _ = answer([[1, 7, 7, 0, 7, 1], [0] * 6], 4)
    assert tokens.tolist() == [[1, 2, 4, 0], [0, 1, 2, 3]]


def test_what_is_not_asked_for_is_empty(answer):
    scores, tokens, targets, probabilities = answer([[0] * 6] * 3, 0)
    assert scores.shape == tokens.shape == targets.shape == (3, 0)
    assert probabilities.shape == (0, VOCABULARY)


def test_probabilities_come_when_wanted_and_logits_may_be_huge(answer):
    scores, _, _, probabilities = answer([[1e4, 1e4, -1e4, 0, 0, 0]], VOCABULARY, [], True)
    np.testing.assert_allclose(probabilities, [[0.5, 0.5, 0, 0, 0, 0]])
    np.testing.assert_allclose(scores, [[0.5, 0.5, 0, 0, 0, 0]])
