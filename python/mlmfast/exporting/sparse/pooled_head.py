"""The head's product, pooled over the tokens of a text block by block of the vocabulary.

The logits of a batch, [batch, length, vocabulary], are by far the largest tensor of a sparse
encoder: half a gigabyte for 32 texts of 128 tokens. Of them only the maximum (or the sum) over the
tokens of a text is needed. So the product is cut into blocks of the vocabulary, each of which is
pooled before the next is computed, and no more than one block exists at a time.

A maximum needs nothing else at the width of the vocabulary: the bias is the same for all tokens of
a text and log(1 + relu(x)) never falls, so both follow the maximum. Padding is not masked there
either, but in the hidden states, where a row of padding becomes a copy of the text's first token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlmfast.exporting.graph.graph import Graph
from mlmfast.exporting.tracing import LOGITS, MASK

if TYPE_CHECKING:
    import onnx

    from mlmfast.exporting.sparse.definition import SparseDefinition

POOLED = "pooled"
# Words of a block. Measured on two cores with BERT-base's head, blocks of 4,096 and 8,192 are as
# fast as the whole product, and smaller ones up to a tenth slower; 4,096 need half the memory.
BLOCK = 4096
# Blocks begin at a multiple of it, so that their weights are aligned in the embedding's.
_ALIGNED = 64


class _Product(NamedTuple):
    """The last product of a graph: rows @ matrix + bias.

    Attributes:
        rows: the name of the hidden states, [batch, length, width].
        matrix: float32 [vocabulary, width].
        bias: float32 [vocabulary].
    """

    rows: str
    matrix: np.ndarray
    bias: np.ndarray


def pool_logits(model: onnx.ModelProto, definition: SparseDefinition) -> bool:
    """Replace the output `logits` by `pooled` float32 [batch, vocabulary], in place.

    `pooled` holds the maximum of the logits over the tokens of each text, or with `pooling` "sum"
    the sum of their weights.

    Args:
        model: a traced graph with the output `logits` [batch, length, vocabulary].
        definition: what is pooled.

    Returns:
        Whether the head's product is computed in blocks. Where the logits are not those of a single
        product with a constant matrix, they are pooled as a whole.
    """
    graph = Graph(model)
    product = _last_product(graph)
    pooling = _Pooling(graph, definition)
    pooled = pooling.whole(LOGITS) if product is None else pooling.in_blocks(product)
    _set_output(graph, pooled)
    return product is not None


def _last_product(graph: Graph) -> _Product | None:
    """Follow the logits back to their product, past additions of a bias."""
    name, bias = LOGITS, np.zeros(1, np.float32)
    while True:
        node = graph.producer.get(name)
        if node is None:
            return None
        if node.op_type == "Identity":
            name = node.input[0]
        elif node.op_type == "Add":
            constants = [graph.constant(one) for one in node.input]
            known = [one for one in constants if one is not None]
            if len(known) != 1 or known[0].shape[-1:] != (known[0].size,):
                return None
            bias = bias + known[0].reshape(-1)
            name = node.input[0 if constants[0] is None else 1]
        elif node.op_type == "MatMul":
            matrix = graph.constant(node.input[1])
            if matrix is None or matrix.ndim != 2:
                return None
            full = np.broadcast_to(bias, matrix.shape[1:]).astype(np.float32)
            return _Product(node.input[0], np.ascontiguousarray(matrix.T), full)
        else:
            return None


class _Pooling:
    """Adds the nodes that pool logits."""

    def __init__(self, graph: Graph, definition: SparseDefinition) -> None:
        self._graph = graph
        self._is_max = definition.pooling == "max"
        self._twice = definition.activation == "log1p_relu"
        self._masked = MASK in {entry.name for entry in graph.proto.input}
        self._opset = next(
            entry.version for entry in graph.model.opset_import if entry.domain in ("", "ai.onnx")
        )

    def in_blocks(self, product: _Product) -> str:
        """Add the product and the pooling of each block; return the name of the result."""
        graph, add = self._graph, self._graph.add
        vocab_size, width = product.matrix.shape
        rows = self._without_padding(product.rows) if self._is_max else product.rows
        flat = add("Reshape", [rows, graph.add_constant([-1, width])])
        shape = add("Shape", [rows])
        texts = add("Slice", [shape, graph.add_constant([0]), graph.add_constant([2])])
        parts = []
        for start, end in blocks(vocab_size):
            inputs = [flat, graph.add_constant(product.matrix[start:end], "block")]
            if not self._is_max:
                inputs.append(graph.add_constant(product.bias[start:end], "bias"))
            logits = add("Gemm", inputs, transB=1)
            target = add("Concat", [texts, graph.add_constant([end - start])], axis=0)
            logits = add("Reshape", [logits, target])
            parts.append(self._pool(logits))
        pooled = parts[0] if len(parts) == 1 else add("Concat", parts, axis=1)
        return add("Add", [pooled, graph.add_constant(product.bias)]) if self._is_max else pooled

    def whole(self, logits: str) -> str:
        """Pool logits that exist as a whole."""
        graph = self._graph
        if self._is_max and self._masked:
            lowest = graph.add_constant(np.array(np.finfo(np.float32).min))
            logits = graph.add("Where", [self._real(), logits, lowest])
        return self._pool(logits)

    def _pool(self, logits: str) -> str:
        if self._is_max:
            return self._reduced("ReduceMax", logits)
        weights = self._weights(logits)
        if self._masked:
            real = self._graph.add("Cast", [self._real()], to=1)
            weights = self._graph.add("Mul", [weights, real])
        return self._reduced("ReduceSum", weights)

    def _weights(self, logits: str) -> str:
        add, one = self._graph.add, self._graph.add_constant(np.array(1, np.float32))
        weights = add("Relu", [logits])
        for _ in range(2 if self._twice else 1):
            weights = add("Log", [add("Add", [weights, one])])
        return weights

    def _reduced(self, kind: str, name: str) -> str:
        """Reduce the length; the axis is an attribute or an input, by operator and opset."""
        add = self._graph.add
        if kind == "ReduceMax" and self._opset < 18:
            return add(kind, [name], axes=[1], keepdims=0)
        return add(kind, [name, self._graph.add_constant([1])], keepdims=0)

    def _real(self) -> str:
        """Return the name of a bool [batch, length, 1], false at padding."""
        real = self._graph.add("Cast", [MASK], to=9)
        return self._graph.add("Unsqueeze", [real, self._graph.add_constant([-1])])

    def _without_padding(self, rows: str) -> str:
        """Let the rows of padding be copies of the text's first token, which change no maximum."""
        if not self._masked:
            return rows
        graph, add = self._graph, self._graph.add
        first = add("ArgMax", [MASK], axis=1, keepdims=1)
        token = add("GatherND", [rows, first], batch_dims=1)
        token = add("Unsqueeze", [token, graph.add_constant([1])])
        return add("Where", [self._real(), rows, token])


def blocks(vocab_size: int) -> list[tuple[int, int]]:
    """Cut a vocabulary into nearly equal blocks of at most BLOCK words: (first, end) of each."""
    count = -(-vocab_size // BLOCK)
    size = -(-vocab_size // count)
    size = -(-size // _ALIGNED) * _ALIGNED
    return [(start, min(start + size, vocab_size)) for start in range(0, vocab_size, size)]


def _set_output(graph: Graph, pooled: str) -> None:
    from onnx import TensorProto, helper

    graph.add_many("Identity", [pooled], [POOLED])
    del graph.proto.output[:]
    graph.proto.output.append(
        helper.make_tensor_value_info(POOLED, TensorProto.FLOAT, ["batch", "vocabulary"])
    )
    graph.finish()
