"""Random masked language models in memory, without a tokenizer, and a batch for them."""

from __future__ import annotations

import torch
import transformers

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
}
WITHOUT_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
NAMES = {"distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}}


def make_network(kind, **more):
    """A model of the type `kind`, always with the same weights."""
    torch.manual_seed(0)
    sizes = SIZES | NAMES.get(kind, {}) | more
    if kind == "modernbert":
        sizes |= {"reference_compile": False, "bos_token_id": 0, "eos_token_id": 2}
        sizes |= {"cls_token_id": 0, "sep_token_id": 2}
    if kind in ("albert", "electra"):
        sizes["embedding_size"] = 32
    config = transformers.AutoConfig.for_model(kind, **sizes)
    return transformers.AutoModelForMaskedLM.from_config(config)


def batch(rows=3, length=20, every=7):
    """Arguments of a model, and labels of which one in `every` is masked."""
    torch.manual_seed(1)
    ids = torch.randint(5, 60, (rows, length))
    labels = torch.where(torch.arange(rows * length).reshape(rows, length) % every == 2, ids, -100)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, labels
