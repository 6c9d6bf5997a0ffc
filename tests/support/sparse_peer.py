"""sentence-transformers' SparseEncoder, in the environment that `make test-sparse` makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PYTHON = os.environ.get("MLMFAST_TEST_SPARSE_PYTHON")
needs_peer = pytest.mark.skipif(
    PYTHON is None, reason="make test-sparse installs sentence-transformers"
)


def encode(checkpoint: Path, texts: list[str], folder: Path, kind="document") -> np.ndarray:
    """The peer's vectors as a matrix [texts, vocabulary], by way of files in `folder`."""
    (folder / "texts.json").write_text(json.dumps(texts))
    command = [PYTHON, str(Path(__file__).with_name("peer_sparse.py")), str(checkpoint)]
    subprocess.run(
        [*command, str(folder / "texts.json"), str(folder / "vectors.npz"), kind],
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
        stderr=sys.stderr,
    )
    found = np.load(folder / "vectors.npz")
    matrix = np.zeros(found["shape"], np.float32)
    matrix[found["rows"], found["ids"]] = found["weights"]
    return matrix
