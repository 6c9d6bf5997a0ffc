"""A contender of P10 in a process of its own: a Trainer of adapters, at the pace of its parent.

`python benches/lora_worker.py WAY FOLDER` trains on the blocks in a folder and answers each command
on standard input as `train_worker.py` does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import peft
import torch
import train_worker
import transformers

from mlmfast.data.store.store import BlockStore
from mlmfast.training.model.adapters import add_adapters
from mlmfast.training.options.lora import lora_config

RANK, ALPHA = 16, 32
LORA = f"rank={RANK},alpha={ALPHA},targets=query+value"
OPTIONS = {"full": None, "lora": LORA, "dora": f"{LORA},dora=true"}
"""The option `lora` of each of our ways."""
PEERS = ("trainer", "peft")


def network(way: str, vocabulary: int) -> Any:
    """The model of a way; the peer's adapters are PEFT's own."""
    model: Any = train_worker.network(vocabulary)
    if way == "peft":
        given = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["query", "value"])
        return peft.get_peft_model(model, given)
    config = lora_config(OPTIONS.get(way))
    return model if config is None else add_adapters(model, config)[0]


def parameters(way: str, vocabulary: int) -> int:
    """How many weights a way trains; none is computed."""
    with torch.device("meta"):
        model = network(way, vocabulary)
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


def _main(way: str, folder: str) -> None:
    store = BlockStore.open(Path(folder) / "blocks")
    with tempfile.TemporaryDirectory() as work:
        # Peers compute in the precision that ours takes, with two workers that load.
        arguments = train_worker.arguments(
            "tuned" if way in PEERS else "auto", work, max_steps=10**6
        )
        model = network(way, store.manifest.vocab_size)
        found = train_worker.paced(model, arguments, store, ours=way not in PEERS)
        found.remove_callback(transformers.PrinterCallback)
        found.train()


if __name__ == "__main__":
    _main(*sys.argv[1:])
