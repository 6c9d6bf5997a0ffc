"""Matrix products and embedding tables in 8-bit integers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

from mlmfast.exporting.graph.graph import Graph, attribute

if TYPE_CHECKING:
    import onnx


# Numbers that share a scale in blockwise quantization. Smaller blocks are closer to float32, and
# slower.
BLOCK = 128
# The largest weight, and the largest in seven bits.
LARGEST, SMALLER = 127, 63
# Smaller tables, such as those of positions, save too little memory for their loss by rounding.
_LARGE_TABLE = 1 << 18
_CONTRIBUTED = "com.microsoft"


@dataclass(frozen=True)
class Rounded:
    """How much of a graph was quantized.

    Attributes:
        products: matrix products that compute with integers now.
        tables: embedding tables that are stored as integers now.
    """

    products: int
    tables: int


def to_int8(model: onnx.ModelProto, *, blocks: bool = False, reduce_range: bool = False) -> Rounded:
    """Convert products with a constant matrix and large embedding tables to int8, in place.

    Weights are signed, with a scale an output channel: the dot product of eight bits takes signed
    weights at twice the speed of unsigned ones. Activations are rounded while the graph runs, by
    one scale for all of a product's input. A matrix that is a table too is stored once.

    Args:
        model: a graph with its weights in memory.
        blocks: a scale for every 128 numbers of a row, in weights and activations, in place of one
            for all activations of a batch: an answer then does not depend on the texts beside it.
            The look-up tables are the same.
        reduce_range: weights of seven bits, whose sums a processor without VNNI or its like cannot
            overflow. Blocks need it not.

    Returns:
        How much of the graph was changed; products with computed matrices are left as they are.
    """
    graph = Graph(model)
    matrices = _Matrices(graph, SMALLER if reduce_range else LARGEST)
    rounding = _Blocks(graph) if blocks else _Channels(graph, matrices)
    products = 0
    for node in list(graph.nodes):
        if (constant := _constant_matrix(graph, node)) is not None:
            matrix, transposed = constant
            output = rounding.product(node.input[0], matrix, transposed=transposed)
            if len(node.input) == 3:
                output = graph.add("Add", [output, node.input[2]])
            _replace_node(graph, node, output)
            products += 1
    tables = 0
    for node in list(graph.nodes):
        if node.op_type == "Gather" and _is_large_table(graph, node):
            _replace_node(graph, node, matrices.looked_up(node))
            tables += 1
    graph.finish()
    if blocks and all(entry.domain != _CONTRIBUTED for entry in model.opset_import):
        entry = model.opset_import.add()
        entry.domain, entry.version = _CONTRIBUTED, 1
    return Rounded(products, tables)


def _constant_matrix(graph: Graph, node: onnx.NodeProto) -> tuple[str, bool] | None:
    """Return the constant float32 matrix of a product, and whether it is transposed."""
    if node.op_type == "MatMul":
        name = node.input[1]
        turned = graph.producer.get(name)  # as Optimum writes tied embeddings
        if turned is None:
            return (name, False) if _is_matrix(graph, name) else None
        name = turned.input[0]
        swaps = turned.op_type == "Transpose" and attribute(turned, "perm", [1, 0]) == [1, 0]
        return (name, True) if swaps and _is_matrix(graph, name) else None
    if node.op_type == "Gemm" and _is_matrix(graph, node.input[1]):
        plain = all(attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta"))
        if plain and not attribute(node, "transA"):
            return node.input[1], bool(attribute(node, "transB"))
    return None


def _is_matrix(graph: Graph, name: str) -> bool:
    tensor = graph.initializers.get(name)
    return tensor is not None and tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2


def _is_large_table(graph: Graph, node: onnx.NodeProto) -> bool:
    name = node.input[0]
    return (
        attribute(node, "axis", 0) == 0
        and _is_matrix(graph, name)
        and int(np.prod(graph.initializers[name].dims)) >= _LARGE_TABLE
    )


def _replace_node(graph: Graph, node: onnx.NodeProto, output: str) -> None:
    """Let `output` replace the output of `node`."""
    graph.nodes = [other for other in graph.nodes if other is not node]
    if node.output[0] in graph.outputs:
        graph.add_many("Identity", [output], [node.output[0]])
    graph.replace_uses(node.output[0], output)
    graph.index()


class _Matrices:
    """The constant matrices of a graph in int8, each quantized and stored once."""

    def __init__(self, graph: Graph, largest: int) -> None:
        self._graph = graph
        self._largest = largest
        self._rows: dict[tuple[str, bool], tuple[str, str]] = {}

    def rows(self, name: str, *, turned: bool = False) -> tuple[str, str]:
        """Return the names of a matrix (or its transpose) quantized by rows, and of its scales."""
        if (name, turned) not in self._rows:
            matrix = _float_matrix(self._graph, name, turned=turned)
            values, scales = round_rows(matrix, self._largest)
            self._rows[name, turned] = (
                self._graph.add_constant(values, "int8"),
                self._graph.add_constant(scales, "scales"),
            )
        return self._rows[name, turned]

    def looked_up(self, node: onnx.NodeProto) -> str:
        """Add the lookup of a table's rows in its int8 version."""
        graph = self._graph
        table, scales = self.rows(node.input[0])
        whole = graph.add(
            "Cast", [graph.add("Gather", [table, node.input[1]])], to=TensorProto.FLOAT
        )
        scale = graph.add("Gather", [scales, node.input[1]])
        last = graph.add_constant(np.array([-1]))
        return graph.add("Mul", [whole, graph.add("Unsqueeze", [scale, last])])


class _Channels:
    """Products with a scale for each output channel, and one for all activations."""

    def __init__(self, graph: Graph, matrices: _Matrices) -> None:
        self._graph = graph
        self._matrices = matrices
        self._inputs: dict[str, list[str]] = {}
        self._zero = graph.add_constant(np.array(0, dtype=np.int8), "zero")

    def product(self, rows: str, matrix: str, *, transposed: bool) -> str:
        """Add the product in the form that onnxruntime fuses to one operator."""
        graph = self._graph
        values, scale, zero = self._rounded(rows)
        weights, scales = self._matrices.rows(matrix, turned=not transposed)
        # Stored by output channels, as a tied embedding table is; transposed once, at loading.
        weights = graph.add("Transpose", [weights], perm=[1, 0])
        sums = graph.add("MatMulInteger", [values, weights, zero, self._zero])
        both = graph.add("Mul", [scale, scales])
        return graph.add("Mul", [graph.add("Cast", [sums], to=TensorProto.FLOAT), both])

    def _rounded(self, rows: str) -> list[str]:
        if rows not in self._inputs:  # queries, keys and values share theirs
            names = [self._graph.fresh(part) for part in ("rounded", "scale", "zero")]
            self._graph.add_many("DynamicQuantizeLinear", [rows], names)
            self._inputs[rows] = names
        return self._inputs[rows]


class _Blocks:
    """Products with a scale for every BLOCK numbers of a row, on both sides."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._stored: dict[tuple[str, bool], tuple[str, str]] = {}

    def product(self, rows: str, matrix: str, *, transposed: bool) -> str:
        """Add the product as onnxruntime's own operator."""
        graph = self._graph
        depth, width = graph.initializers[matrix].dims[:: -1 if transposed else 1]
        key = (matrix, transposed)
        if key not in self._stored:
            values, scales = round_blocks(_float_matrix(graph, matrix, turned=not transposed))
            self._stored[key] = (
                graph.add_constant(values, "blocks"),
                graph.add_constant(scales, "scales"),
            )
        return graph.add(
            "MatMulNBits",
            [rows, *self._stored[key]],
            domain=_CONTRIBUTED,
            K=depth,
            N=width,
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,  # the activations in int8 too
        )


def _float_matrix(graph: Graph, name: str, *, turned: bool) -> np.ndarray:
    matrix = numpy_helper.to_array(graph.initializers[name])
    return matrix.T if turned else matrix


def round_rows(matrix: np.ndarray, largest: int = LARGEST) -> tuple[np.ndarray, np.ndarray]:
    """Quantize each row to int8.

    Args:
        matrix: float32 [rows, columns].
        largest: the integer for the largest absolute value of a row.

    Returns:
        int8 [rows, columns] and float32 scales [rows], whose product is near the matrix.
    """
    scales = (np.abs(matrix).max(axis=1) / largest).astype(np.float32)
    scales[scales == 0] = 1
    return np.rint(matrix / scales[:, None]).astype(np.int8), scales


def round_blocks(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantize each BLOCK of a row to eight bits with zero point 128, as MatMulNBits expects.

    Args:
        matrix: float32 [rows, columns].

    Returns:
        uint8 [rows, blocks, BLOCK] and float32 scales [rows * blocks]; the last block of a row is
        filled up with zeros.
    """
    rows, columns = matrix.shape
    blocks = -(-columns // BLOCK)
    padded = np.zeros((rows, blocks * BLOCK), dtype=np.float32)
    padded[:, :columns] = matrix
    values, scales = round_rows(padded.reshape(-1, BLOCK))
    shifted = (values.astype(np.int16) + 128).astype(np.uint8)
    return shifted.reshape(rows, blocks, BLOCK), scales


_DEPTH = 64
_EXTREME_OPERANDS = (255, 127)


@cache
def eight_bits_overflow() -> bool:
    """Let onnxruntime sum the largest products of 8-bit numbers, and compare with the true sum.

    x86 processors without VNNI (or AVX-VNNI) add pairs of products in 16 bits, and cut the sums off
    at 32,767 (the instruction is `vpmaddubsw`).
    """
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rows, weights = _EXTREME_OPERANDS
    matrix = np.full((_DEPTH, _DEPTH), weights, np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, _DEPTH])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, _DEPTH])],
        [numpy_helper.from_array(matrix, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (actual,) = session.run(["y"], {"x": np.full((1, _DEPTH), rows, np.uint8)})
    return bool((actual != rows * weights * _DEPTH).any())
