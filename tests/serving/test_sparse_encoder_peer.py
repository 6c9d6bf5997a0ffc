"""SparseEncoder beside sentence-transformers', which `make test-sparse` installs apart."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from mlmfast import SparseEncoder
from mlmfast.exporting.export import export
from places import shared
from sparse_models import save_modules, save_router
from sparse_peer import encode as peer
from sparse_peer import needs_peer
from tolerances import GRAPHS

pytestmark = needs_peer
TEXTS = 300


@pytest.fixture(scope="module")
def texts():
    file = shared("text", "eli5_category", "validation2.jsonl.gz")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        entries = [json.loads(line) for line, _ in zip(lines, range(TEXTS), strict=False)]
    return [*(entry["title"] for entry in entries), "", *entries[0]["answers"]["text"]]


@pytest.mark.parametrize(
    ("pooling", "activation"), [("max", "relu"), ("max", "log1p_relu"), ("sum", "relu")]
)
def test_documents_are_those_of_the_peer(tmp_path, texts, pooling, activation):
    checkpoint = shared("models", "bert-tiny-splade")
    if (pooling, activation) != ("max", "relu"):
        checkpoint = save_modules(checkpoint, tmp_path / "model", pooling, activation)
    export(checkpoint, tmp_path / "onnx", task="sparse")
    encoder = SparseEncoder(tmp_path / "onnx", device="cpu")
    expected = peer(checkpoint, texts, tmp_path)
    scale = 512 if pooling == "sum" else 1
    # As it is by default: the model gives no special token a weight.
    found = encoder(texts, returns="csr", special_tokens=pooling == "sum").toarray()
    np.testing.assert_allclose(found, expected, rtol=GRAPHS, atol=scale * GRAPHS / 10)
    # A word is in one of them alone only where its weight is next to nothing.
    differs = (found > 0) != (expected > 0)
    assert np.maximum(found, expected)[differs].max(initial=0) < scale * GRAPHS / 10
    pruned = encoder(texts, returns="csr", top_k=20).toarray()
    assert ((pruned > 0).sum(axis=1) <= 20).all()


def test_queries_are_those_of_the_peers_router(tmp_path, texts):
    checkpoint = shared("models", "bert-tiny-splade")
    weights = np.random.default_rng(0).uniform(0, 5, 30522).astype(np.float32)
    router = save_router(checkpoint, tmp_path / "router", weights)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        target = router / "query_0_SparseStaticEmbedding" / file
        target.write_bytes((checkpoint / file).read_bytes())
    export(router, tmp_path / "onnx", task="sparse")
    encoder = SparseEncoder(tmp_path / "onnx", device="cpu")
    for kind in ("query", "document"):
        encode = encoder.encode_query if kind == "query" else encoder
        found = encode(texts, returns="csr", special_tokens=True).toarray()
        expected = peer(router, texts, tmp_path, kind)
        np.testing.assert_allclose(found, expected, rtol=GRAPHS, atol=GRAPHS / 10)
