"""What a training gave back, for the tests of what is written about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mlmfast.training.evaluation.metrics import Evaluation
from mlmfast.training.fit import TrainResult

AFTER = Evaluation(
    perplexity=8.5,
    loss=2.14,
    top1=0.5,
    top5=0.75,
    bits_per_byte=0.9,
    masked_tokens=1234,
    blocks=56,
    block_size=16,
    data="blocks/test",
    mlm_probability=0.15,
    seed=0,
    precision="fp32",
    seconds=1.0,
)
RESULT = TrainResult(
    output=Path("some/where/my-model"),
    before=replace(AFTER, perplexity=99.0),
    after=AFTER,
    steps=77,
    epochs=3.0,
    train_loss=2.5,
    seconds=10.0,
    tokens_per_second=1000.0,
    parameters=44_620,
    precision="fp32",
    device="cpu",
)
