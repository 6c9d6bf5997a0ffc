"""examples/sparse_search.py: the scores of the index are inner products of the vectors."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from mlmfast import SparseEncoder
from places import ROOT
from tolerances import KERNELS

SCRIPT = ROOT / "examples" / "sparse_search.py"
ANSWERS = [
    "paris is the capital of france",
    "berlin is a city in germany",
    "the milky way is a spiral galaxy",
    "our solar system is in a galaxy",
]


@pytest.fixture(scope="module")
def example():
    pytest.importorskip("duckdb")
    spec = importlib.util.spec_from_file_location("sparse_search", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_search_ranks_by_inner_products(example, tiny_sparse):
    import duckdb

    encoder = SparseEncoder(tiny_sparse("bert").onnx)
    queries = ["paris", "a galaxy"]
    with duckdb.connect() as database:
        example.build(database, encoder(ANSWERS, returns="arrow"))
        found = example.search(database, encoder.encode_query(queries, returns="arrow"), 3)
    products = encoder(queries, returns="csr") @ encoder(ANSWERS, returns="csr").T
    expected = products.toarray()
    for row in found.to_pylist():
        np.testing.assert_allclose(row["score"], expected[row["query"], row["text"]], rtol=KERNELS)
    assert [row["place"] for row in found.to_pylist()] == [1, 2, 3] * 2
    best = np.argsort(-expected, axis=1)[:, :3]
    assert found["text"].to_pylist() == best.flatten().tolist()


def test_the_script_runs_from_a_file_to_an_answer(tiny_sparse, tmp_path):
    pytest.importorskip("duckdb")
    lines = [
        {"title": "paris ?", "answers": {"text": ANSWERS[:1]}},
        {"title": "what is a galaxy", "answers": {"text": ANSWERS[2:]}},
        {"title": "nobody knows", "answers": {"text": []}},
    ]
    source = tmp_path / "eli5.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, str(SCRIPT), str(tiny_sparse("bert").onnx), str(source)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "3 answers with" in shown
    assert "100.0% find an answer of their own among the first 100" in shown
    one = subprocess.run([*command, "--query", "paris"], capture_output=True, text=True, check=True)
    assert any(answer in one.stdout for answer in ANSWERS)
