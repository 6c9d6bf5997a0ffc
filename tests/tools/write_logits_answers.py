"""The graphs that answer from logits, which are part of the package: `serving` cannot build them.

`python tests/tools/write_logits_answers.py` writes them anew.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

import mlmfast
from mlmfast.serving.engine.logits import LOGITS_GRAPHS

KINDS = {"tensor(float)": TensorProto.FLOAT, "tensor(float16)": TensorProto.FLOAT16}


def answers_graph(kind: str) -> onnx.ModelProto:
    """Logits [batch, length, vocabulary] and positions in; best tokens and targets' scores out."""
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["logits"], ["rows"], axis=2),
            helper.make_node("Gather", ["rows", "mask_positions"], ["at_masks"]),
            helper.make_node("Cast", ["at_masks"], ["masks"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["top_k", "first"], ["k"]),
            helper.make_node("TopK", ["masks", "k"], ["best", "tokens"]),
            helper.make_node("Softmax", ["masks"], ["shares"]),
            helper.make_node("GatherElements", ["shares", "tokens"], ["scores"], axis=1),
            helper.make_node("Gather", ["shares", "targets"], ["target_scores"], axis=1),
        ],
        "answers",
        [
            helper.make_tensor_value_info("logits", KINDS[kind], ["batch", "length", "vocabulary"]),
            helper.make_tensor_value_info("mask_positions", TensorProto.INT64, ["masks"]),
            helper.make_tensor_value_info("top_k", TensorProto.INT64, []),
            helper.make_tensor_value_info("targets", TensorProto.INT64, ["n"]),
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["masks", "k"]),
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["masks", "k"]),
            helper.make_tensor_value_info("target_scores", TensorProto.FLOAT, ["masks", "n"]),
        ],
        [helper.make_tensor("first", TensorProto.INT64, [1], [0])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    """Write both."""
    for kind, name in LOGITS_GRAPHS.items():
        onnx.save(answers_graph(kind), Path(mlmfast.__file__).parent / "serving" / "engine" / name)


if __name__ == "__main__":
    main()
