"""A graph opened as it lies in memory, with weights of any size and no way by the disk."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


# Tensors of fewer numbers stay in the graph, where onnxruntime reads shapes from some of them.
SMALL = 1024


def open_in_memory(model: onnx.ModelProto) -> Any:
    """Open `model` on the CPU, its operators as they are.

    A protobuf ends at 2 GB, so the weights are handed over beside it.

    Raises:
        Exception: onnxruntime's own, where the graph cannot be opened.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    graph, weights = _without_weights(model)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in weights.values()]
    options.add_external_initializers([*weights], values)
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _without_weights(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Split a graph, which stays as it is, from its weights."""
    from onnx import TensorProto, numpy_helper

    light = type(model)(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = model.graph.name
    for field in ("node", "input", "output"):
        getattr(light.graph, field).extend(getattr(model.graph, field))
    weights = {}
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) < SMALL:
            light.graph.initializer.append(tensor)
            continue
        weights[tensor.name] = numpy_helper.to_array(tensor)
        place = light.graph.initializer.add(name=tensor.name, data_type=tensor.data_type)
        place.dims.extend(tensor.dims)
        place.data_location = TensorProto.EXTERNAL
        place.external_data.add(key="location", value="memory")
    return light, weights


def count_operators(graph: str | Path) -> dict[str, int]:
    """Count the operators of `graph` after all of onnxruntime's optimisations for the CPU.

    They are not saved: they depend on the machine, and onnxruntime repeats them at every start.

    Returns:
        Operator to number, the most frequent first. Operators that onnxruntime put together, which
        the ONNX standard does not have, carry its domain: `com.microsoft.SkipLayerNormalization`.
    """
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(optimised)
        # Apart, since a protobuf ends at 2 GB.
        entry = "session.optimized_model_external_initializers_file_name"
        options.add_session_config_entry(entry, "weights")
        onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(str(optimised), load_external_data=False).graph.node
    names = (
        f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
        for node in nodes
    )
    return dict(Counter(names).most_common())


def is_fused(operator: str) -> bool:
    """Whether an operator of `count_operators` is one that onnxruntime put together."""
    return "." in operator
