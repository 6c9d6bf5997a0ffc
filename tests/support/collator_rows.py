"""Rows of every form that a collator takes, for test_collator.py and test_tensorflow.py."""

from __future__ import annotations

import numpy as np
import transformers

from tiny_tokenizers import WORDS

Peer = transformers.DataCollatorForLanguageModeling


def texts(count=12):
    words = WORDS.split()
    return [" ".join(words[at % 7 : at % 7 + 3 + at % 11]) for at in range(count)]


def rows_of(kind, tokenizer):
    encoded = tokenizer(texts())
    if kind == "encodings":
        return [tokenizer(text, return_special_tokens_mask=True) for text in texts()]
    if kind == "tensors":
        import torch  # not everybody who has TensorFlow has it

        return [torch.tensor(ids) for ids in encoded["input_ids"]]
    ways = {
        "lists": lambda _at, ids: ids,
        "dicts": lambda _at, ids: {"input_ids": ids},
        "int32 arrays": lambda _at, ids: np.array(ids, dtype=np.int32),
        "extra columns": lambda at, ids: {"input_ids": ids, "next_sentence_label": at},
        "dicts of one length": lambda _at, ids: {"input_ids": ids[:4], "other": 3},
        "arrays of one length": lambda _at, ids: {"input_ids": np.array(ids[:4], np.int64)},
    }
    return [ways[kind](at, ids) for at, ids in enumerate(encoded["input_ids"])]
