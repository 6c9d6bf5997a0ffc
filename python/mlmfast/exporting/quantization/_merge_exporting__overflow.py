"""Whether products of eight bits overflow where this runs."""

from __future__ import annotations

from functools import cache

import numpy as np

DEPTH = 64
LARGEST = (255, 127)


@cache
def eight_bits_overflow() -> bool:
    """Let onnxruntime sum the largest products of 8-bit numbers, and compare with the true sum.

    x86 processors without VNNI (or AVX-VNNI) add pairs of products in 16 bits, and cut the sums off
    at 32,767 (the instruction is `vpmaddubsw`).
    """
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rows, weights = LARGEST
    matrix = np.full((DEPTH, DEPTH), weights, np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, DEPTH])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, DEPTH])],
        [numpy_helper.from_array(matrix, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["y"], {"x": np.full((1, DEPTH), rows, np.uint8)})
    return bool((found != rows * weights * DEPTH).any())
