"""Write tokenizers of all families into a folder, for tests in an environment that cannot train.

`python tests/tools/write_tokenizers.py FOLDER`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.data.tokenization.verification.edges.corpus import hard_texts

FAMILIES = {"bpe": "byte-level BPE", "wordpiece": "WordPiece", "unigram": "Unigram"}


def write_tokenizers(folder: Path) -> None:
    """Train each family on hard texts; of some, write a variant as other models have it."""
    texts = [text for text in hard_texts() if len(text) < 90]
    for model in FAMILIES:
        train_tokenizer(texts, folder / model, model=model, vocab_size=900, overwrite=True)
    content = json.loads((folder / "bpe" / "tokenizer.json").read_text("utf-8"))
    content["normalizer"] = {"type": "NFC"}
    _write(folder / "bpe-nfc", content)
    content = json.loads((folder / "wordpiece" / "tokenizer.json").read_text("utf-8"))
    content["normalizer"] |= {"lowercase": True, "strip_accents": None}
    content["truncation"] = {
        "direction": "Right",
        "max_length": 8,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    _write(folder / "wordpiece-lower", content)
    content = json.loads((folder / "unigram" / "tokenizer.json").read_text("utf-8"))
    del content["model"]["type"]
    content["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True},
        ],
    }
    _write(folder / "unigram-old", content)


def _write(folder: Path, content: dict) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    write_tokenizers(Path(sys.argv[1]))
