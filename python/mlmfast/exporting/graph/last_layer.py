"""Run the last layer on the masked rows only, by gathering the rows earlier in the traced graph.

A traced graph runs the whole encoder and takes the masked rows of its last hidden state. Here that
Gather moves towards the input, past every operator that treats each row by itself: first past the
normalisations, the feed-forward and the projection behind the last attention, then, within each
text, past the attention to its queries. Keys and values need all rows, and with them all that comes
before. Nothing is approximated: the same numbers go through the same operators, in fewer rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.exporting.graph.axes import (
    BATCH,
    LENGTH,
    InputDims,
    Size,
    Sizes,
    fold_shapes,
    infer_axes,
)
from mlmfast.exporting.graph.graph import Graph
from mlmfast.exporting.graph.row_wise import Rows, inputs_by_row
from mlmfast.exporting.tracing import ROWS

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class GatherMotion:
    """What runs on the masked rows only, without the head.

    Attributes:
        feed_forward: matrix products with weights behind the last attention; 0: none could be
            moved, and the layer runs on all rows.
        queries: matrix products before it, that of the queries and that with the keys among them.
        operators: operators of all kinds.
    """

    feed_forward: int = 0
    queries: int = 0
    operators: int = 0

    @property
    def products(self) -> int:
        """All matrix products."""
        return self.feed_forward + self.queries


def push_gather_up(model: onnx.ModelProto, max_length: int | None) -> GatherMotion:
    """Move the Gather of `mask_positions` towards the input, in place.

    Args:
        model: a traced graph, without top-k outputs yet.
        max_length: tokens that the model takes, None for no limit.
    """
    sizes = infer_axes(model, max_length)
    graph = Graph(model)
    fold_shapes(graph, sizes)
    _drop_whole_slices(graph, sizes)
    gather = next((node for node in graph.nodes if [*node.input][1:] == [ROWS]), None)
    flat = graph.producer.get(gather.input[0]) if gather is not None else None
    if gather is None or flat is None or flat.op_type != "Reshape":
        return GatherMotion()
    hidden = flat.input[0]
    shape = sizes.get(hidden, ())
    if shape[:2] != (BATCH, LENGTH) or len(shape) != 3:
        return GatherMotion()

    behind = _Region(graph, sizes, Rows(hidden, 1), flat_rows=True)
    if not behind.products or not behind.can_be_gathered():
        return GatherMotion()
    behind.rewrite(gather.output[0])
    moved = GatherMotion(behind.products, 0, len(behind.nodes))
    for rows in behind.stops:
        attention = _Region(graph, sizes, rows, flat_rows=False)
        if attention.products > 1 and attention.can_be_gathered():
            attention.rewrite(behind.taken[rows.tensor], Slots(graph))
            moved = replace(
                moved,
                queries=moved.queries + attention.products,
                operators=moved.operators + len(attention.nodes),
            )
    return moved


def _drop_whole_slices(graph: Graph, sizes: Sizes) -> None:
    """Remove slices of a text to its own length, as LUKE has where entities could follow."""
    for node in graph.nodes:
        if node.op_type != "Slice" or len(node.input) < 4:
            continue
        before, after = sizes.get(node.input[0]), sizes.get(node.output[0])
        starts, steps = graph.constant(node.input[1]), _steps(graph, node)
        # An end that is a constant may lie behind the texts that were tried.
        computed = graph.constant(node.input[2]) is None
        whole = before is not None and None not in before and before == after
        if whole and computed and starts is not None and not starts.any() and (steps == 1).all():
            graph.replace_uses(node.output[0], node.input[0])
    graph.finish()


def _steps(graph: Graph, node: onnx.NodeProto) -> np.ndarray:
    given = graph.constant(node.input[4]) if len(node.input) > 4 else np.ones(1)
    return np.zeros(1) if given is None else given


class _Region:
    """The operators that can run on rows, if only rows of the tensor at their end are needed.

    With `flat_rows` a batch of texts becomes one text of the masked rows, [1, masks, ...]; without,
    every text keeps its needed rows, [batch, slots, ...].
    """

    def __init__(self, graph: Graph, sizes: Sizes, end: Rows, *, flat_rows: bool) -> None:
        self._graph, self._sizes, self._flat, self._end = graph, sizes, flat_rows, end
        self.nodes: list[onnx.NodeProto] = []
        self.taken: dict[str, str] = {}
        self._axes: dict[str, int] = {end.tensor: end.axis}
        self._ranks: dict[str, int] = {}
        self._grow()
        made = {name for node in self.nodes for name in node.output}
        self.stops = [Rows(*item) for item in self._axes.items() if item[0] not in made]

    @property
    def products(self) -> int:
        """How many matrix products it has."""
        return sum(node.op_type == "MatMul" for node in self.nodes)

    def _grow(self) -> None:
        inside: set[int] = set()
        # From the end to the start: the users of a tensor have been decided about before its maker.
        for node in reversed(self._graph.nodes):
            axes = {self._axes[name] for name in node.output if name in self._axes}
            if len(axes) != 1 or not self._only_used_by(node, inside):
                continue
            needed = self._needed(node, axes.pop())
            if needed is None or any(self._axes.get(t, axis) != axis for t, axis in needed):
                continue
            inside.add(id(node))
            self.nodes.append(node)
            self._axes.update(needed)
            for tensor, _ in needed:
                self._ranks[tensor] = len(self._sizes[node.output[0]])

    def _only_used_by(self, node: onnx.NodeProto, inside: set[int]) -> bool:
        for name in node.output:
            if name in self._graph.outputs:
                return False
            if name != self._end.tensor and any(
                id(user) not in inside for user in self._graph.users.get(name, ())
            ):
                return False
        return True

    def _needed(self, node: onnx.NodeProto, axis: int) -> list[Rows] | None:
        needed = inputs_by_row(self._graph, self._sizes, node, axis)
        if not self._flat or needed is None:
            return needed
        # The batch is laid out along the rows: neither may be mixed, and both lie in front.
        batch = inputs_by_row(self._graph, self._sizes, node, 0)
        fits = batch is not None and {rows.tensor for rows in batch} == {
            rows.tensor for rows in needed
        }
        if not fits or any(self._sizes[t][:2] != (BATCH, LENGTH) or r != 1 for t, r in needed):
            return None
        return needed

    def can_be_gathered(self) -> bool:
        """Whether rows can be gathered from every tensor at which the region starts."""
        one_user = len(self._graph.users.get(self._end.tensor, ())) == 1
        return one_user and all(self._gatherable(rows) for rows in self.stops)

    def _gatherable(self, rows: Rows) -> bool:
        sizes = self._sizes[rows.tensor]
        if sizes[rows.axis] != LENGTH:
            return False
        if self._flat:
            return all(isinstance(size, int) for size in sizes[2:])
        if rows.axis == 0:
            return len(sizes) < self._ranks[rows.tensor]
        if sizes[0] == BATCH:
            return len(sizes) == self._ranks[rows.tensor]
        return sizes[0] == 1

    def rewrite(self, taken_rows: str, slots: Slots | None = None) -> None:
        """Gather rows where the region starts, instead of at its end."""
        graph = self._graph
        end = graph.producer[taken_rows]
        for rows in self.stops:
            taken = self._take_flat(rows) if slots is None else self._take_slots(rows, slots)
            for node in self.nodes:
                for place, name in enumerate(node.input):
                    if name == rows.tensor:
                        node.input[place] = taken
        if slots is None:
            graph.replace_uses(end.output[0], end.input[0])
        else:
            end.input[1] = slots.slot
            self._reshape_to(slots)
        graph.finish()

    def _take_flat(self, rows: Rows) -> str:
        graph = self._graph
        rest = self._sizes[rows.tensor][2:]
        flat = graph.add("Reshape", [rows.tensor, graph.add_constant([-1, *rest])])
        taken = graph.add("Gather", [flat, ROWS], axis=0)
        self.taken[rows.tensor] = taken
        return graph.add("Unsqueeze", [taken, graph.add_constant([0])])

    def _take_slots(self, rows: Rows, slots: Slots) -> str:
        graph, sizes, (tensor, axis) = self._graph, self._sizes[rows.tensor], rows
        if axis == 1 and sizes[0] == BATCH and all(isinstance(size, int) for size in sizes[2:]):
            flat = graph.add("Reshape", [tensor, graph.add_constant([-1, *sizes[2:]])])
            return graph.add("Gather", [flat, slots.index], axis=0)
        missing = self._ranks[tensor] - len(sizes)
        if missing:
            tensor = graph.add("Unsqueeze", [tensor, graph.add_constant([*range(missing)])])
            sizes, axis = (1,) * missing + sizes, axis + missing
        order = [0, axis, *(place for place in range(1, len(sizes)) if place != axis)]
        ordered = graph.add("Transpose", [tensor], perm=order)
        if sizes[0] == BATCH:
            last = graph.add("Unsqueeze", [slots.column, graph.add_constant([-1])])
            taken = graph.add("GatherND", [ordered, last], batch_dims=1)
        else:
            single_text = graph.add("Squeeze", [ordered, graph.add_constant([0])])
            taken = graph.add("Gather", [single_text, slots.column], axis=0)
        return graph.add("Transpose", [taken], perm=[int(place) for place in np.argsort(order)])

    def _reshape_to(self, slots: Slots) -> None:
        for node in self.nodes:
            if node.op_type != "Reshape" or self._graph.constant(node.input[1]) is not None:
                continue
            shape: list[Size] = list(self._sizes[node.output[0]])
            row = self._axes[node.output[0]]
            parts = [
                slots.count if place == row else slots.dims.of(-1 if size is None else size)
                for place, size in enumerate(shape)
            ]
            node.input[1] = self._graph.add("Concat", parts, axis=0)


class Slots:
    """Slots for the masked rows of each text, as many for each as the text with most masks needs.

    Attributes:
        count: int64 [1], slots a text has.
        slot: int64 [masks], the slot of each mask: text * count + its number within the text.
        index: int64 [batch, count], the flat position in each slot; 0 where a slot is empty.
        column: int64 [batch, count], the same within the text.
    """

    def __init__(self, graph: Graph) -> None:
        self.dims = InputDims(graph)
        add, number = graph.add, graph.add_constant
        batch, length = self.dims.of(BATCH), self.dims.of(LENGTH)
        text = add("Div", [ROWS, length])
        scalar = add("Squeeze", [batch, number([0])])
        texts = add("Range", [number(np.array(0)), scalar, number(np.array(1))])
        column = add("Unsqueeze", [text, number([1])])
        belongs = add("Cast", [add("Equal", [column, texts])], to=7)
        so_far = add("CumSum", [belongs, number(np.array(0))])
        number_in_text = add("Sub", [add("GatherElements", [so_far, column], axis=1), number([1])])
        self.count = add("ReduceMax", [add("Reshape", [so_far, number([-1])])], keepdims=1)
        first = add("Mul", [text, self.count])
        self.slot = add("Add", [first, add("Squeeze", [number_in_text, number([1])])])
        empty = add("ConstantOfShape", [add("Mul", [batch, self.count])], value=_zero())
        filled = add("ScatterElements", [empty, self.slot, ROWS], axis=0)
        shape = add("Concat", [batch, self.count], axis=0)
        self.index = add("Reshape", [filled, shape])
        self.column = add("Mod", [self.index, length])


def _zero() -> onnx.TensorProto:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.zeros(1, dtype=np.int64))
