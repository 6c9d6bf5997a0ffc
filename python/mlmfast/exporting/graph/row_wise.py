"""Which operators work on each row of a tensor by itself, so that rows can be gathered before."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlmfast.exporting.graph.graph import ELEMENTWISE, Graph, attribute

if TYPE_CHECKING:
    import onnx

    from mlmfast.exporting.graph.axes import Sizes

_NORMALISING = frozenset(["LayerNormalization", "Softmax", "LogSoftmax"])
_SEVERAL = frozenset(["MatMul", "Concat", "GatherElements"])
_REDUCING = frozenset(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"])


class Rows(NamedTuple):
    """Where the rows of a tensor lie.

    Attributes:
        tensor: its name.
        axis: the axis that is as long as the text.
    """

    tensor: str
    axis: int


def inputs_by_row(graph: Graph, sizes: Sizes, node: onnx.NodeProto, axis: int) -> list[Rows] | None:
    """Return which inputs to gather by rows, if only rows of the outputs along `axis` are needed.

    Returns:
        The inputs with their row axes; the others serve all rows. None where a row of the output
        needs other rows too.
    """
    out = sizes.get(node.output[0])
    kind = node.op_type
    # The others' further inputs are shapes, axes and weights of the rows, which serve all of them.
    tensors = node.input if kind in ELEMENTWISE | _SEVERAL else node.input[:1]
    if out is None or any(name and name not in sizes for name in tensors):
        return None
    if kind in ELEMENTWISE:
        return _broadcast(sizes, [*node.input], len(out), axis)
    if kind in _NORMALISING:
        first = attribute(node, "axis", -1) % len(out)
        whole = kind == "LayerNormalization"  # from its axis on, the others along it
        mixed = range(first, len(out)) if whole else (first,)
        return None if axis in mixed else [Rows(node.input[0], axis)]
    if kind in _REDUCING:
        axes = _axes(graph, node, len(sizes[node.input[0]]))
        kept = attribute(node, "keepdims", 1)
        return [Rows(node.input[0], axis)] if kept and axes and axis not in axes else None
    if kind == "MatMul":
        return _product(sizes, node, axis)
    if kind == "Transpose":
        order = attribute(node, "perm") or list(range(len(out)))[::-1]
        return [Rows(node.input[0], order[axis])]
    if kind in ("Split", "Slice", "Concat", "GatherElements"):
        return _along(graph, sizes, node, axis)
    if kind == "Reshape":
        return _reshaped(sizes, node, axis)
    if kind in ("Unsqueeze", "Squeeze"):
        return _squeezed(graph, sizes, node, axis)
    return None


def _broadcast(sizes: Sizes, names: list[str], rank: int, axis: int) -> list[Rows] | None:
    needed = []
    for name in filter(None, names):
        own = axis - (rank - len(sizes[name]))
        if own >= 0 and sizes[name][own] != 1:
            needed.append(Rows(name, own))
    return list(dict.fromkeys(needed))


def _product(sizes: Sizes, node: onnx.NodeProto, axis: int) -> list[Rows] | None:
    rank, (left, right) = len(sizes[node.output[0]]), node.input
    if min(len(sizes[left]), len(sizes[right])) < 2 or axis == rank - 1 or left == right:
        return None
    if axis == rank - 2:
        return [Rows(left, len(sizes[left]) - 2)]
    return _broadcast(sizes, [left, right], rank, axis)


def _along(graph: Graph, sizes: Sizes, node: onnx.NodeProto, axis: int) -> list[Rows] | None:
    rank = len(sizes[node.output[0]])
    if node.op_type == "Slice":
        given = graph.constant(node.input[3]) if len(node.input) > 3 else None
        axes = [] if given is None else [int(value) % rank for value in given]
        return [Rows(node.input[0], axis)] if axes and axis not in axes else None
    if attribute(node, "axis", 0) % rank == axis:
        return None
    if node.op_type == "Split":
        return [Rows(node.input[0], axis)]
    return list(dict.fromkeys(Rows(name, axis) for name in node.input))


def _reshaped(sizes: Sizes, node: onnx.NodeProto, axis: int) -> list[Rows] | None:
    """Rows stay rows where all before them, or all behind them, keeps its sizes."""
    before, after = sizes[node.input[0]], sizes[node.output[0]]
    if None not in after[: axis + 1] and before[: axis + 1] == after[: axis + 1]:
        return [Rows(node.input[0], axis)]
    own = len(before) - (len(after) - axis)
    if own >= 0 and None not in after[axis:] and before[own:] == after[axis:]:
        return [Rows(node.input[0], own)]
    return None


def _squeezed(graph: Graph, sizes: Sizes, node: onnx.NodeProto, axis: int) -> list[Rows] | None:
    smaller, larger = sorted((sizes[node.input[0]], sizes[node.output[0]]), key=len)
    axes = _axes(graph, node, len(larger))
    if not axes or len(larger) - len(axes) != len(smaller):
        return None
    kept = [place for place in range(len(larger)) if place not in axes]
    if node.op_type == "Squeeze":
        return [Rows(node.input[0], kept[axis])]
    return [Rows(node.input[0], kept.index(axis))] if axis in kept else None


def _axes(graph: Graph, node: onnx.NodeProto, rank: int) -> list[int]:
    given = attribute(node, "axes")
    if given is None and len(node.input) > 1:
        given = graph.constant(node.input[1])
    return [] if given is None else [int(value) % rank for value in np.ravel(given)]
