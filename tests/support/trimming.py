"""Checkpoints with a given tokenizer, and tokenizers that are trimmed without a model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.vocabulary.texts import read_sample
from mlmfast.vocabulary.trimmed_tokenizer import trim_tokenizer

# T5 has no mask token; one of its sentinels takes the role.
ROLES = {"t5-small": {"mask_token": "<extra_id_0>", "pad_token": "<pad>", "unk_token": "<unk>"}}
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 66,
    "type_vocab_size": 1,
    "initializer_range": 0.4,
}


def copied_tokenizer(source: Path, folder: Path) -> Path:
    """Copy a published tokenizer, with roles for the special tokens of one that has none."""
    folder.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copyfile(file, folder / file.name)
    for name, roles in ROLES.items():
        if name in str(source):
            config = {"tokenizer_class": "PreTrainedTokenizerFast", **roles}
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def add_model(folder: Path, kind: str = "roberta", **changes) -> Path:
    """Write a random model of the type `kind` beside the tokenizer in a folder."""
    import torch
    import transformers

    loaded = load_tokenizer(folder)
    sizes = {**SIZES, "vocab_size": loaded.id_bound, **changes}
    for role, token in loaded.tokens.items():
        sizes[f"{role}_id"] = loaded.tokenizer.token_to_id(token)
    config = transformers.AutoConfig.for_model(kind, **sizes)
    torch.manual_seed(0)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return folder


def save_tokenizer(tokenizer, folder: Path, **roles: str) -> Path:
    """Write a tokenizer of the `tokenizers` library, with the roles of its special tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **roles}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def sample_of(texts, file: Path):
    """Write texts to a file as the commands do."""
    return read_sample(pa.array(list(texts), pa.large_string()), file, {}, name="texts")


def trimmed(loaded, texts, folder: Path, **options):
    """Trim a tokenizer to the tokens of texts."""
    folder.mkdir(parents=True, exist_ok=True)
    sample = sample_of(texts, folder / "sample.arrow")
    return trim_tokenizer(loaded, sample, folder, also={}, **options)


def assert_same_tokens(loaded, result, texts) -> int:
    """Assert that texts whose tokens are all kept keep them; return how many these are."""
    kept = 0
    for text in texts:
        old = loaded.tokenizer.encode(text, add_special_tokens=False).ids
        if result.new_ids.keys() >= set(old):
            new = result.loaded.tokenizer.encode(text, add_special_tokens=False).ids
            assert new == [result.new_ids[number] for number in old], text
            kept += 1
    return kept
