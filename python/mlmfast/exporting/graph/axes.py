"""Find out which axes of a graph's tensors are the batch, the length, or constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmfast.exporting.graph.graph import ELEMENTWISE, Graph
from mlmfast.exporting.graph.session import open_in_memory
from mlmfast.exporting.tracing import IDS, MASK, ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

BATCH, LENGTH, MASKS = "batch", "length", "masks"
# An int: a constant size; BATCH, LENGTH or MASKS: that size; None: another size.
Size = int | str | None
Sizes = dict[str, tuple[Size, ...]]

# (batch, length, masks): each changes once with the others as they were, and the last is long
# enough to show a size that is rounded up, as block-wise attention rounds it.
_PROBES = ((2, 11, 3), (3, 11, 3), (2, 13, 3), (2, 11, 7), (1, 150, 5))


def infer_axes(model: onnx.ModelProto, max_length: int | None) -> Sizes:
    """Run the graph with inputs of a few sizes, and compare the sizes of its tensors.

    Args:
        model: a traced graph with `mask_positions`, without top-k outputs yet.
        max_length: tokens that the model takes, None for no limit.

    Returns:
        The sizes of each tensor of the main graph that exists at all probes in the same rank.

    Raises:
        Exception: onnxruntime's own, where the graph cannot be run.
    """
    probes = [(b, min(length, max_length or length), m) for b, length, m in _PROBES]
    shapes = _run(model, probes)
    return {
        name: tuple(
            _size(values, probes) for values in zip(*(run[name] for run in shapes), strict=True)
        )
        for name in shapes[0]
        if len({len(run[name]) for run in shapes}) == 1
    }


def _size(values: tuple[int, ...], probes: Sequence[tuple[int, int, int]]) -> Size:
    if len(set(values)) == 1:
        return values[0]
    for name, counts in zip((BATCH, LENGTH, MASKS), zip(*probes, strict=True), strict=True):
        if values == counts:
            return name
    return None


def _run(
    model: onnx.ModelProto, probes: Sequence[tuple[int, int, int]]
) -> list[dict[str, tuple[int, ...]]]:
    from onnx import helper

    outputs = len(model.graph.output)
    known = {entry.name for entry in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name]
    model.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in known
    )
    try:
        session = open_in_memory(model)
    finally:
        del model.graph.output[outputs:]
    runs = []
    for batch, length, masks in probes:
        full = np.ones((batch, length), dtype=np.int64)
        feed: dict[str, np.ndarray] = {entry.name: full * 0 for entry in session.get_inputs()}
        feed |= {IDS: full * 7, ROWS: np.arange(masks)}
        if MASK in feed:
            feed[MASK] = full
        values = session.run(names, feed)
        runs.append({name: np.shape(value) for name, value in zip(names, values, strict=True)})
    for entry in session.get_inputs():
        for shapes, (batch, length, masks) in zip(runs, probes, strict=True):
            shapes[entry.name] = (masks,) if entry.name == ROWS else (batch, length)
    for tensor in model.graph.initializer:
        for shapes in runs:
            shapes[tensor.name] = tuple(tensor.dims)
    return runs


def fold_shapes(graph: Graph, sizes: Sizes) -> None:
    """Compute shapes from `input_ids` alone, so that no large tensor is kept for its shape.

    A Reshape whose target can be written as constants gets them, and with that the arithmetic on
    shapes that most models trace to is gone.
    """
    for node in graph.nodes:
        if node.op_type == "Reshape":
            target = constant_target(sizes.get(node.input[0]), sizes.get(node.output[0]))
            if target is not None:
                node.input[1] = graph.add_constant(np.array(target, dtype=np.int64), "shape")
    drop_expands(graph, sizes)
    dims = InputDims(graph)
    for node in list(graph.nodes):
        known = sizes.get(node.input[0], (None,)) if node.op_type == "Shape" else (None,)
        if node.op_type != "Shape" or node.attribute or node.input[0] == IDS:
            continue
        if all(isinstance(size, int) or size in (BATCH, LENGTH) for size in known):
            graph.replace_uses(node.output[0], dims.shape(known))
    graph.finish()


def drop_expands(graph: Graph, sizes: Sizes) -> None:
    """Let operators broadcast a mask that the tracer expands before them."""
    for node in graph.nodes:
        if node.op_type not in ELEMENTWISE:
            continue
        full = sizes.get(node.output[0])
        others = [name for name in node.input if graph.kind(name) != "Expand"]
        if full is None or not any(sizes.get(name) == full for name in others):
            continue
        for place, name in enumerate(node.input):
            if graph.kind(name) == "Expand":
                node.input[place] = graph.producer[name].input[0]


def constant_target(
    before: tuple[Size, ...] | None, after: tuple[Size, ...] | None
) -> list[int] | None:
    """Write the target of a Reshape with 0 (as before) and -1 only, if possible."""
    if before is None or after is None or 0 in before or 0 in after:
        return None
    target = []
    for place, size in enumerate(after):
        if isinstance(size, int):
            target.append(size)
        elif size is not None and place < len(before) and before[place] == size:
            target.append(0)
        else:
            target.append(-1)
    return target if target.count(-1) <= 1 else None


class InputDims:
    """Batch and length as tensors of one number, read from `input_ids`."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[Size, str] = {}

    def of(self, size: Size) -> str:
        """Return the name of an int64 [1] that holds `size`."""
        if size not in self._known:
            if isinstance(size, int):
                self._known[size] = self._graph.add_constant(np.array([size], dtype=np.int64))
            else:
                shape = self._graph.add("Shape", [IDS])
                axis = self._graph.add_constant(np.array([0 if size == BATCH else 1]))
                self._known[size] = self._graph.add("Gather", [shape, axis])
        return self._known[size]

    def shape(self, sizes: Sequence[Size]) -> str:
        """Return the name of an int64 [n] that holds `sizes`."""
        return self._graph.add("Concat", [self.of(size) for size in sizes], axis=0)
