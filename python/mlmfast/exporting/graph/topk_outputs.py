"""The end of fill_mask.onnx: logits of masks to scores, best tokens and target scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.exporting.tracing import LOGITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

# What begins the name of every node added here: a lower precision leaves these in float32.
_PREFIX = "answers/"
# The inputs that belong to the answers.
_ASKED = ("top_k", "targets", "want_probabilities")


def add_topk_outputs(model: onnx.ModelProto, vocab_size: int) -> None:
    """Replace the output `logits` [masks, vocabulary] by the answers, in place.

    New inputs: `top_k` and `targets` int64, `want_probabilities` bool. New outputs: `scores`,
    `tokens`, `target_scores`, `probabilities`; see `write_fill_mask_graph`.

    The softmax runs over the whole vocabulary always: it is onnxruntime's fastest way to a sum of
    exponentials (a tenth of the time of ReduceLogSumExp), and the best tokens, picked by their
    logits, only look their shares up. `probabilities` merely hands it out, or nothing at all.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    float32, int64 = TensorProto.FLOAT, TensorProto.INT64

    def node(kind: str, inputs: list[str], outputs: list[str], **attributes: object) -> None:
        name = f"{_PREFIX}{kind}_{outputs[0].removeprefix(_PREFIX)}"
        graph.node.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))

    def constant(name: str, value: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(value, _PREFIX + name))
        return _PREFIX + name

    k, softmax = f"{_PREFIX}k", f"{_PREFIX}softmax"
    node("Reshape", ["top_k", constant("one", np.array([1]))], [k])
    node("TopK", [LOGITS, k], [f"{_PREFIX}best", "tokens"], axis=-1, largest=1, sorted=1)
    node("Softmax", [LOGITS], [softmax], axis=-1)
    node("GatherElements", [softmax, "tokens"], ["scores"], axis=-1)
    node("Gather", [softmax, "targets"], ["target_scores"], axis=-1)

    # All rows, or none. Not an If, of which OpenVINO takes no branch that hands a tensor through.
    first = constant("first_row", np.array([0]))
    end = f"{_PREFIX}end_row"
    node("Where", ["want_probabilities", constant("every_row", np.array([2**31])), first], [end])
    node("Slice", [softmax, first, end, constant("rows_axis", np.array([0]))], ["probabilities"])
    for name, kind, shape in (
        ("top_k", int64, []),
        ("targets", int64, ["n"]),
        ("want_probabilities", TensorProto.BOOL, []),
    ):
        graph.input.append(helper.make_tensor_value_info(name, kind, shape))
    del graph.output[:]
    outputs: tuple[tuple[str, int, list[str | int]], ...] = (
        ("scores", float32, ["masks", "k"]),
        ("tokens", int64, ["masks", "k"]),
        ("target_scores", float32, ["masks", "n"]),
        ("probabilities", float32, ["probability_rows", vocab_size]),
    )
    for name, kind, sizes in outputs:
        graph.output.append(helper.make_tensor_value_info(name, kind, sizes))


def fix_top_k(model: onnx.ModelProto, top_k: int) -> None:
    """Leave the best `top_k` tokens as the only answers, and the masks as the only question.

    The inputs `top_k`, `targets` and `want_probabilities` go, and so do the outputs
    `target_scores` and `probabilities`: nothing that is left depends on a value on the CPU.
    """
    from onnx import numpy_helper

    graph = model.graph
    k, end = f"{_PREFIX}k", f"{_PREFIX}end_row"
    gone = {k, end, "target_scores", "probabilities"}
    scores = {"scores", "tokens"}
    for list_, kept in (
        (graph.node, [node for node in graph.node if not gone & {*node.output}]),
        (graph.initializer, [one for one in graph.initializer if not one.name.startswith(_PREFIX)]),
        (graph.input, [entry for entry in graph.input if entry.name not in _ASKED]),
        (graph.output, [entry for entry in graph.output if entry.name in scores]),
    ):
        _keep(list_, kept)
    graph.initializer.append(numpy_helper.from_array(np.array([top_k]), k))
    for entry in graph.output:
        size = entry.type.tensor_type.shape.dim[1]
        size.Clear()
        size.dim_value = top_k


def _keep(list_: Any, kept: Sequence[Any]) -> None:
    """Let a repeated field hold only `kept`, which are some of its own entries."""
    copies = [type(one).FromString(one.SerializeToString()) for one in kept]
    del list_[:]
    list_.extend(copies)


def remove_topk_outputs(model: onnx.ModelProto) -> int | None:
    """Make `logits` the output again, in place.

    Returns:
        Scores a mask had; None where the graph has no answers.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    ours = [node for node in graph.node if node.name.startswith(_PREFIX)]
    if not ours:
        return None
    vocab_size = int(graph.output[-1].type.tensor_type.shape.dim[1].dim_value)
    for list_, kept in (
        (graph.node, [node for node in graph.node if not node.name.startswith(_PREFIX)]),
        (graph.initializer, [one for one in graph.initializer if not one.name.startswith(_PREFIX)]),
        (graph.input, [entry for entry in graph.input if entry.name not in _ASKED]),
    ):
        _keep(list_, kept)
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["masks", vocab_size])
    )
    return vocab_size
