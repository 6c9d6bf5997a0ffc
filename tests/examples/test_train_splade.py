"""examples/train_splade.py: from `mlmfast train` over sentence-transformers to sparse vectors."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np

import mlmfast
from places import ROOT
from sparse_peer import PYTHON, encode, needs_peer
from tiny_models import WORDS, save_checkpoint
from tolerances import GRAPHS

pytestmark = needs_peer
SCRIPT = ROOT / "examples" / "train_splade.py"
PAIRS = [
    ("what is the capital of france ?", "paris is the capital of france"),
    ("where is berlin ?", "berlin is a city in germany"),
    ("what is the milky way ?", "the milky way is a spiral galaxy that contains our solar system"),
    ("is it far ?", "it is n't far !"),
]


def run(*command):
    """Run a command in the environment of sentence-transformers."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "CUDA_VISIBLE_DEVICES": ""}
    command = [PYTHON, *map(str, command)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_checkpoint_of_ours_becomes_a_splade_model_that_export_takes(tmp_path):
    (tmp_path / "texts.txt").write_text(f"{WORDS}\n" * 20)
    start = save_checkpoint("bert", tmp_path / "start", initializer_range=0.2)
    store = mlmfast.prepare(
        tmp_path / "texts.txt", tmp_path / "blocks", tokenizer=start, block_size=16
    )
    ours = tmp_path / "model"
    mlmfast.train(store, model=start, output=ours, max_steps=2, report=False, precision="fp32")
    lines = [json.dumps({"query": query, "document": answer}) for query, answer in PAIRS]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines * 8))

    splade = tmp_path / "splade"
    options = ["--batch-size", 8, "--learning-rate", 0.01]
    run(SCRIPT, ours, tmp_path / "pairs.jsonl", splade, *options)
    # In the same environment: its transformers, and its datasets, are newer than Optimum takes.
    report = json.loads(
        run("-m", "mlmfast", "export", splade, tmp_path / "onnx", "--task", "sparse", "--json")
    )
    assert report["sparse"]["pooling"] == "max"
    assert int(report["versions"]["transformers"].split(".")[0]) >= 5

    texts = [answer for _, answer in PAIRS]
    encoder = mlmfast.SparseEncoder(tmp_path / "onnx", device="cpu")
    found = encoder(texts, returns="csr", special_tokens=True).toarray()
    expected = encode(splade, texts, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=GRAPHS, atol=GRAPHS / 10)
    untrained = encode(ours, texts, tmp_path)
    assert np.abs(untrained - expected).max() > 100 * GRAPHS
