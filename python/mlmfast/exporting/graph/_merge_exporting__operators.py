"""What onnxruntime makes of a graph when it opens it: the fused operators, counted."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path


def count_operators(graph: str | Path) -> dict[str, int]:
    """Count the operators of `graph` after all of onnxruntime's optimisations for the CPU.

    Nothing of them is kept: they depend on the machine, and are made anew at every start.

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
