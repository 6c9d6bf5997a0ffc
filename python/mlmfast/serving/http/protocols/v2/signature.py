"""The inputs and outputs of a model over the Open Inference Protocol."""

from __future__ import annotations

INPUTS = (
    ("text", "BYTES", [-1], False),
    ("targets", "BYTES", [-1], True),
    ("top_k", "INT32", [1], True),
)
OUTPUTS = (
    ("score", "FP32", [-1, -1]),
    ("token", "INT64", [-1, -1]),
    ("token_str", "BYTES", [-1, -1]),
    ("sequence", "BYTES", [-1, -1]),
    ("masks", "INT32", [-1]),
)
# Not among the outputs of a request that names none.
SPARSE_OUTPUTS = (
    ("ids", "INT64", [-1]),
    ("weights", "FP32", [-1]),
    ("tokens", "BYTES", [-1]),
    ("counts", "INT32", [-1]),
)
