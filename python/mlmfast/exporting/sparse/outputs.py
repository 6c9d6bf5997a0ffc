"""The end of sparse.onnx: pooled logits to the ids and weights of each text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmfast.exporting.sparse.pooled_head import POOLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from mlmfast.exporting.sparse.definition import SparseDefinition

# What begins the name of every node added here: a lower precision leaves these in float32.
_PREFIX = "sparse/"
_ASKED = ("top_k", "threshold", "keep_special")
OUTPUTS = ("counts", "ids", "weights")


def add_sparse_outputs(
    model: onnx.ModelProto,
    definition: SparseDefinition,
    vocab_size: int,
    special_ids: Sequence[int],
) -> None:
    """Replace the output `pooled` [batch, vocabulary] by the weights of each text, in place.

    New inputs, scalars: `top_k` int64, how many of the heaviest words of each text (0: all),
    `threshold` float32, which every weight exceeds, and `keep_special` bool, whether special tokens
    may have a weight. New outputs: `counts` int64 [batch], the words of each text, and one after
    the other `ids` int64 [words], ascending within a text, and `weights` float32 [words].
    """
    from onnx import TensorProto, helper

    tail = _Tail(model)
    node, constant = tail.node, tail.constant
    special = np.zeros(vocab_size, dtype=bool)
    special[[token for token in special_ids if token < vocab_size]] = True
    dropped = node(
        "And", [constant("special", special), node("Not", ["keep_special"], "no_special")], "out"
    )
    zero = constant("zero", np.array(0, np.float32))
    kept = node("Where", [dropped, zero, POOLED], "kept")
    k = node("Reshape", ["top_k", constant("one", np.array([1]))], "k")
    wants_all = node("LessOrEqual", ["top_k", constant("none", np.array(0))], "wants_all")
    names = [_PREFIX + name for name in ("found_rows", "found_ids", "found")]
    tail.append(
        helper.make_node(
            "If",
            [wants_all],
            names,
            name=f"{_PREFIX}If",
            then_branch=_all_positive(kept),
            else_branch=_best(kept, k, vocab_size),
        )
    )
    weights = names[2]
    if definition.pooling == "max":  # a sum is one of weights already
        for number in range(2 if definition.activation == "log1p_relu" else 1):
            weights = tail.log1p(weights, f"log{number}")
    # Not "greater", so that a NaN stays to be seen.
    beyond = node("Not", [node("LessOrEqual", [weights, "threshold"], "light")], "beyond")
    rows = node("Compress", [names[0], beyond], "rows")
    node("Compress", [names[1], beyond], "ids", output="ids")
    node("Compress", [weights, beyond], "weights", output="weights")
    ones = node("Add", [node("Sub", [rows, rows], "zeros"), constant("step", np.array(1))], "ones")
    shape = node("Shape", [POOLED], "shape")
    batch = node(
        "Slice", [shape, constant("first", np.array([0])), constant("end", np.array([1]))], "batch"
    )
    none = node("ConstantOfShape", [batch], "no_words", value=_int64_zero())
    node("ScatterElements", [none, rows, ones], "counts", output="counts", axis=0, reduction="add")
    graph = model.graph
    scalars = (("top_k", TensorProto.INT64), ("threshold", TensorProto.FLOAT))
    for name, kind in (*scalars, ("keep_special", TensorProto.BOOL)):
        graph.input.append(helper.make_tensor_value_info(name, kind, []))
    del graph.output[:]
    for name, kind, size in zip(
        OUTPUTS,
        (TensorProto.INT64, TensorProto.INT64, TensorProto.FLOAT),
        ("batch", "words", "words"),
        strict=True,
    ):
        graph.output.append(helper.make_tensor_value_info(name, kind, [size]))


def remove_sparse_outputs(model: onnx.ModelProto) -> tuple[int, list[int]]:
    """Make `pooled` the output again, in place.

    Returns:
        The size of the vocabulary, and the special ids.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    special = next(one for one in graph.initializer if one.name == f"{_PREFIX}special")
    flags = numpy_helper.to_array(special)
    for list_, kept in (
        (graph.node, [node for node in graph.node if not node.name.startswith(_PREFIX)]),
        (graph.initializer, [one for one in graph.initializer if not one.name.startswith(_PREFIX)]),
        (graph.input, [entry for entry in graph.input if entry.name not in _ASKED]),
    ):
        copies = [type(one).FromString(one.SerializeToString()) for one in kept]
        del list_[:]
        list_.extend(copies)
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(POOLED, TensorProto.FLOAT, ["batch", "vocabulary"])
    )
    return len(flags), np.flatnonzero(flags).tolist()


class _Tail:
    """Appends nodes and constants to a graph, or to a branch of one."""

    def __init__(self, model: onnx.ModelProto | None = None, branch: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._graph = None if model is None else model.graph
        self._prefix = f"{_PREFIX}{branch}"

    def node(
        self, kind: str, inputs: list[str], name: str, *, output: str = "", **attributes: object
    ) -> str:
        """Add a node with one output, and return the output's name."""
        return self.nodes_of(kind, inputs, [output or self._prefix + name], name, **attributes)[0]

    def nodes_of(
        self, kind: str, inputs: list[str], outputs: list[str], name: str, **attributes: object
    ) -> list[str]:
        """Add a node with several outputs, and return their names."""
        from onnx import helper

        label = f"{self._prefix}{kind}_{name}"
        self.append(helper.make_node(kind, inputs, outputs, name=label, **attributes))
        return outputs

    def append(self, node: onnx.NodeProto) -> None:
        """Add a node."""
        (self.nodes if self._graph is None else self._graph.node).append(node)

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant, and return its name."""
        from onnx import numpy_helper

        tensor = numpy_helper.from_array(value, self._prefix + name)
        (self.constants if self._graph is None else self._graph.initializer).append(tensor)
        return str(tensor.name)

    def log1p(self, value: str, name: str) -> str:
        """Add log(1 + x), exact for small x too: ln(u) x / (u - 1) with u = 1 + x as rounded."""
        node = self.node
        one = self.constant(f"{name}_one", np.array(1, np.float32))
        above = node("Add", [value, one], f"{name}_u")
        rounded = node("Sub", [above, one], f"{name}_rounded")
        ratio = node("Div", [value, rounded], f"{name}_ratio")
        exact = node("Mul", [node("Log", [above], f"{name}_ln"), ratio], f"{name}_exact")
        tiny = node("Equal", [above, one], f"{name}_tiny")
        return node("Where", [tiny, value, exact], name)


def _all_positive(kept: str) -> onnx.GraphProto:
    """Take every word above zero."""
    tail = _Tail(branch="all_")
    positive = _positive(tail, kept)
    rows, ids, places = _places(tail, positive)
    return _branch(tail, "all", rows, ids, tail.node("GatherND", [kept, places], "found"))


def _best(kept: str, k: str, vocab_size: int) -> onnx.GraphProto:
    """Take the k heaviest words of each text that are above zero, and sort them by id."""
    tail = _Tail(branch="best_")
    node = tail.node
    at_most = node("Min", [k, tail.constant("all", np.array([vocab_size]))], "k")
    values, ids = tail.nodes_of(
        "TopK", [kept, at_most], [f"{_PREFIX}best_values", f"{_PREFIX}best_ids"], "best", axis=-1
    )
    ascending, order = tail.nodes_of(
        "TopK",
        [ids, at_most],
        [f"{_PREFIX}best_ascending", f"{_PREFIX}best_order"],
        "sorted",
        axis=-1,
        largest=0,
        sorted=1,
    )
    values = node("GatherElements", [values, order], "in_order", axis=-1)
    rows, _, places = _places(tail, _positive(tail, values))
    return _branch(
        tail,
        "best",
        rows,
        node("GatherND", [ascending, places], "found_ids"),
        node("GatherND", [values, places], "found"),
    )


def _positive(tail: _Tail, values: str) -> str:
    zero = tail.constant("zero", np.array(0, np.float32))
    return tail.node("Not", [tail.node("LessOrEqual", [values, zero], "light")], "positive")


def _places(tail: _Tail, flags: str) -> tuple[str, str, str]:
    """Return the rows, the columns and both together, of all flags that are set."""
    node = tail.node
    places = node("NonZero", [flags], "places")
    rows = node("Gather", [places, tail.constant("row", np.array(0))], "rows", axis=0)
    columns = node("Gather", [places, tail.constant("column", np.array(1))], "columns", axis=0)
    return rows, columns, node("Transpose", [places], "pairs", perm=[1, 0])


def _branch(tail: _Tail, name: str, rows: str, ids: str, found: str) -> onnx.GraphProto:
    from onnx import TensorProto, helper

    kinds = (TensorProto.INT64, TensorProto.INT64, TensorProto.FLOAT)
    outputs = [
        helper.make_tensor_value_info(output, kind, ["words"])
        for output, kind in zip((rows, ids, found), kinds, strict=True)
    ]
    return helper.make_graph(tail.nodes, name, [], outputs, initializer=tail.constants)


def _int64_zero() -> onnx.TensorProto:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.zeros(1, dtype=np.int64))
