"""What the measurements on a GPU use: its sizes, or tiny ones for a dry run on the CPU."""

from __future__ import annotations

import os

DRY_RUN = os.environ.get("MLMFAST_GPU_DRY_RUN") == "1"
DEVICE = "cpu" if DRY_RUN else "cuda"

# DistilRoBERTa's shape, or that of a model that a dry run can afford.
SHAPE = (
    {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
    }
    if DRY_RUN
    else {"num_hidden_layers": 6, "max_position_embeddings": 514, "type_vocab_size": 1}
)
# Tokens of a text or a block -> how many texts are answered, and rows of a training batch.
TEXTS = {16: 8, 128: 4, 512: 2} if DRY_RUN else {16: 8192, 128: 2048, 512: 512}
ROWS = {128: 2, 512: 2} if DRY_RUN else {128: 256, 512: 64}
# Training steps that are not timed (a compiled model has two graphs to compile), and that are.
WARM_UP, STEPS = (2, 2) if DRY_RUN else (10, 30)
ROUNDS = 1 if DRY_RUN else 3
MASKED = 0.15
