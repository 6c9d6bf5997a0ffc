"""Block stores of one tokenizer, for the tests of mixtures."""

from __future__ import annotations

from pathlib import Path

from mlmfast.data.prepare.api import prepare
from mlmfast.data.tokenization.train import train_tokenizer
from toy import BLOCK_SIZE, sentences

SIZES = {"large": 60, "small": 9, "padded": 12}


def make_stores(root: Path, **options) -> dict[str, Path]:
    """Write three stores of different sizes, with test splits in the first two; return folders.

    The blocks of the last one are padded.
    """
    train_tokenizer(sentences(60), root / "tokenizer", vocab_size=300)
    folders = {}
    for seed, (name, count) in enumerate(SIZES.items()):
        folders[name] = root / name
        given = {"block_size": BLOCK_SIZE, "tokenizer": root / "tokenizer"} | options
        text = root / f"{name}.txt"
        text.write_text("\n".join(sentences(count, seed=seed + 1)) + "\n")
        if name == "padded":
            prepare(str(text), folders[name], packing="best_fit", **given)
        else:
            prepare(str(text), folders[name], test_size=0.3, **given)
    return folders
