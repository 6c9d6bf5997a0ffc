"""Every masked-language-model type of the installed transformers: trained, exported, fused."""

from __future__ import annotations

import pytest
import torch

from architectures import masked_types, tiny_model, word_tokenizer
from matrix import measure

REFUSED = {"mra", "qdqbert", "wav2vec2"}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", masked_types())
def test_both_graphs_compute_what_pytorch_computes(kind):
    outcome = measure(kind)
    if kind in REFUSED:
        assert kind in outcome.refused
        return
    assert outcome.trains
    assert outcome.model_difference < 1e-4
    assert outcome.fused_difference < 1e-4
    assert outcome.top1 == 1
