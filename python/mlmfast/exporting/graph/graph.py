"""An ONNX graph with indexes of producers and users, and functions to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import onnx


# Elementwise operators, whose inputs broadcast.
# fmt: off
ELEMENTWISE = frozenset({
    "Abs", "Add", "And", "Cast", "Clip", "Cos", "Div", "Dropout", "Equal", "Erf", "Exp", "Gelu",
    "Greater", "HardSigmoid", "Identity", "IsNaN", "LeakyRelu", "Less", "Log", "Max", "Min", "Mul",
    "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sin", "Softplus", "Sqrt",
    "Sub", "Tanh", "Where",
})
# fmt: on


class Graph:
    """The main graph of a model, indexed by tensor names.

    Changes go through the methods below; `finish` then removes what nobody uses and sorts.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.proto = model.graph
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self._names = 0
        self._node_names = {node.name for node in self.nodes}
        self.index()

    def index(self) -> None:
        """Build the indexes of producers, users and constants again."""
        self.initializers = {tensor.name: tensor for tensor in self.proto.initializer}
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.outputs = {entry.name for entry in self.proto.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(used_names(node)):
                self.users.setdefault(name, []).append(node)

    def constant(self, name: str) -> np.ndarray | None:
        """Return the value of an initializer or a Constant node; None for anything else."""
        from onnx import numpy_helper

        if name in self.initializers:
            return numpy_helper.to_array(self.initializers[name])
        node = self.producer.get(name)
        if node is None or node.op_type != "Constant":
            return None
        value = attribute(node, "value")
        return None if value is None else numpy_helper.to_array(value)

    def kind(self, name: str) -> str | None:
        """Return the operator that produces a tensor; None for inputs and weights."""
        node = self.producer.get(name)
        return None if node is None else node.op_type

    def fresh(self, hint: str) -> str:
        """Return a name that no tensor and no node has."""
        taken = (self.producer, self.initializers, self._node_names)
        while True:
            self._names += 1
            name = f"rows/{hint}_{self._names}"
            if not any(name in names for names in taken):
                return name

    def add_constant(self, value: Any, hint: str = "constant") -> str:
        """Add an initializer, int64 where integers are given, and return its name."""
        from onnx import numpy_helper

        name = self.fresh(hint)
        tensor = numpy_helper.from_array(np.asarray(value), name)
        self.proto.initializer.append(tensor)
        self.initializers[name] = tensor
        return name

    def add(self, kind: str, inputs: Iterable[str], **attributes: Any) -> str:
        """Add a node with one output, and return the name of the output."""
        name = self.fresh(kind)
        self.add_many(kind, inputs, [name], **attributes)
        return name

    def add_many(
        self, kind: str, inputs: Iterable[str], outputs: Iterable[str], **attributes: Any
    ) -> None:
        """Add a node whose outputs have these names."""
        from onnx import helper

        names = [*outputs]  # which no other tensor has, so that no other node has the first's
        self.nodes.append(
            helper.make_node(kind, [*inputs], names, name=f"{names[0]}_node", **attributes)
        )

    def replace_uses(self, old: str, new: str) -> None:
        """Replace the tensor `old` by `new` in every node that uses it."""
        for node in self.nodes:
            for place, name in enumerate(node.input):
                if name == old:
                    node.input[place] = new

    def finish(self) -> None:
        """Remove unused nodes and weights, and sort the nodes topologically."""
        self.index()
        pending, kept = [*self.outputs], set()
        while pending:
            node = self.producer.get(pending.pop())
            if node is not None and id(node) not in kept:
                kept.add(id(node))
                pending.extend(used_names(node))
        self.nodes = self._sorted([node for node in self.nodes if id(node) in kept])
        used = {name for node in self.nodes for name in used_names(node)} | self.outputs
        for place in reversed(range(len(self.proto.initializer))):
            if self.proto.initializer[place].name not in used:
                del self.proto.initializer[place]
        copies = [_copy(node) for node in self.nodes]
        self.proto.ClearField("node")
        self.proto.node.extend(copies)
        self.proto.ClearField("value_info")
        self.nodes = list(self.proto.node)
        self.index()

    def _sorted(self, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
        made = {name for node in nodes for name in node.output}
        ready: set[str] = set()
        ordered: list[onnx.NodeProto] = []
        while nodes:
            waiting = []
            for node in nodes:
                if all(name in ready or name not in made for name in used_names(node)):
                    ordered.append(node)
                    ready.update(node.output)
                else:
                    waiting.append(node)
            if len(waiting) == len(nodes):
                raise ValueError("The graph has a cycle.")
            nodes = waiting
        return ordered


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = type(node)()
    copy.CopyFrom(node)
    return copy


def used_names(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors that a node uses, including those that only its subgraphs use."""
    yield from (name for name in node.input if name)
    for entry in node.attribute:
        for inner in (entry.g, *entry.graphs) if entry.type in (5, 10) else ():
            for child in inner.node:
                yield from used_names(child)
            yield from (output.name for output in inner.output)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return an attribute's value."""
    from onnx import helper

    for entry in node.attribute:
        if entry.name == name:
            return helper.get_attribute_value(entry)
    return default
