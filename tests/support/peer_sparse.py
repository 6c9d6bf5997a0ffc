"""What sentence-transformers' SparseEncoder computes, in an environment of its own.

`python peer_sparse.py CHECKPOINT TEXTS.json VECTORS.npz KIND` encodes a list of texts, as documents
or as queries, and writes the matrix as its parts. It imports nothing of mlmfast.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main(checkpoint: str, texts: str, vectors: str, kind: str) -> None:
    """Encode the texts on the CPU, a few at a time."""
    from sentence_transformers import SparseEncoder

    encoder = SparseEncoder(checkpoint, device="cpu")
    encode = encoder.encode_query if kind == "query" else encoder.encode_document
    matrix = encode(json.loads(Path(texts).read_text()), batch_size=16).coalesce()
    rows, ids = matrix.indices().numpy()
    np.savez(vectors, rows=rows, ids=ids, weights=matrix.values().numpy(), shape=matrix.shape)


if __name__ == "__main__":
    main(*sys.argv[1:])
