"""What P6 fills: models, texts of a known number of tokens, and the arithmetic that they need."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenize_input import SHARED, families

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LENGTHS = {
    "16": (16, 16),
    "32": (32, 32),
    "8 to 128": (8, 128),
    "128": (128, 128),
    "512": (512, 512),
}
"""Name -> least and most tokens of a text, special ones included."""
BULK_TOKENS = 2048
LONE_TEXTS = 8
SEED = 6
ELI5 = SHARED / "text" / "eli5_category" / "validation2.jsonl.gz"
REAL_TEXTS = 512
REAL_WORDS = 80
"""Words that a real text has at most: below 128 tokens, nearly always."""
WIKITEXT = SHARED / "text" / "wikitext-2" / "valid.tokens.txt"
CALIBRATION_TEXTS = 128
CALIBRATION_CHARACTERS = 900


@dataclass(frozen=True)
class Model:
    """A checkpoint to fill masks with.

    Attributes:
        name: As in the report.
        checkpoint: Its folder.
    """

    name: str
    checkpoint: Path

    @property
    def config(self) -> dict[str, Any]:
        """Its config.json."""
        found: dict[str, Any] = json.loads((self.checkpoint / "config.json").read_bytes())
        return found


BERT_BASE = "bert-base-uncased"
"""The name of a folder that faster-clip looks for, and the one architecture that it has."""
MODELS = ("distilroberta", "splade", BERT_BASE)


def models(folder: Path, chosen: Sequence[str]) -> list[Model]:
    """The chosen ones of MODELS, as far as what they are made of is at hand."""
    found = []
    if "distilroberta" in chosen:
        written = distilroberta(folder / "distilroberta")
        found.append(Model("DistilRoBERTa's size, random weights", written))
    splade = SHARED / "models" / "bert-tiny-splade"
    if "splade" in chosen and (splade / "model.safetensors").is_file():
        found.append(Model("bert-tiny-splade", splade))
    if BERT_BASE in chosen and (SHARED / "tokenizers" / BERT_BASE).is_dir():
        found.append(Model("BERT-base's size, random weights", bert_base(folder / BERT_BASE)))
    return found


def bert_base(folder: Path) -> Path:
    """Write a checkpoint of BERT-base's size, with seeded random weights."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(SHARED / "tokenizers" / BERT_BASE)
    config = transformers.BertConfig(vocab_size=len(tokenizer), initializer_range=0.04)
    torch.manual_seed(SEED)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)
    return folder


def distilroberta(folder: Path) -> Path:
    """Write a checkpoint of DistilRoBERTa's size, with seeded random weights."""
    import torch
    import transformers

    family = next(f for f in families(folder.parent) if f.kind == "byte-level BPE")
    tokenizer = transformers.AutoTokenizer.from_pretrained(family.file.parent)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=6,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        # Twice the usual spread: the best scores lie apart, and which is first does not hang on
        # the order of additions.
        initializer_range=0.04,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(SEED)
    transformers.RobertaForMaskedLM(config).save_pretrained(folder)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)
    return folder


def texts(model: Model, least: int, most: int, count: int) -> list[str]:
    """Random words around one mask, each text of so many tokens with the special ones."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model.checkpoint)
    rng = random.Random(f"{SEED} {least} {most}")

    def tokens(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False).input_ids)

    opener, words = _whole_words(tokenizer.get_vocab(), tokens, rng)
    around = tokenizer.num_special_tokens_to_add()
    found = []
    for _ in range(count):
        length = rng.randint(least, most)
        inner = rng.choices(words, k=length - around - 1)
        inner[rng.randrange(1, len(inner))] = tokenizer.mask_token
        text = " ".join([opener, *inner])
        if tokens(text) + around != length:
            raise RuntimeError(f"{tokens(text) + around} tokens instead of {length}: {text}")
        found.append(text)
    return found


def _whole_words(
    vocabulary: dict[str, int], tokens: Callable[[str], int], rng: random.Random
) -> tuple[str, list[str]]:
    """A word to begin with, and words that are one token each after a blank."""
    plain = sorted(word for word in vocabulary if word.isascii() and word.isalpha())
    rng.shuffle(plain)
    opener = next(word for word in plain if len(word) > 3 and tokens(word) == 1)
    marked = sorted(
        word
        for token in vocabulary
        if len(word := token.removeprefix("\u0120")) > 3 and word.isascii() and word.isalpha()
    )
    rng.shuffle(marked)
    return opener, [word for word in marked[:4000] if tokens(f"{opener} {word}") == 2]


def real_texts(model: Model) -> list[str]:
    """The beginnings of answers of ELI5, each with one word masked."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model.checkpoint)
    rng = random.Random(SEED)
    found = []
    with gzip.open(ELI5, "rt", encoding="utf-8") as lines:
        for line in lines:
            words = json.loads(line)["answers"]["text"][0].split()[:REAL_WORDS]
            if len(words) > 1:
                words[rng.randrange(len(words))] = tokenizer.mask_token
                found.append(" ".join(words))
    return found[:REAL_TEXTS]


def calibration_texts() -> list[str]:
    """Paragraphs of WikiText-2, all longer than the 128 tokens that NNCF takes of each."""
    lines = WIKITEXT.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if len(line) > CALIBRATION_CHARACTERS][
        :CALIBRATION_TEXTS
    ]


def write_texts(
    model: Model, file: Path, lengths: dict[str, tuple[int, int]], fewest: int = 16
) -> dict[str, int]:
    """Write each length's texts to answer one by one and in bulk; useful FLOPs by their names.

    In bulk they are `fewest` or more.

    The names are `lone LENGTH` and `bulk LENGTH`.
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model.checkpoint)
    named = {}
    for name, (least, most) in lengths.items():
        bulk = max(fewest, 2 * BULK_TOKENS // (least + most))
        named[f"lone {name}"] = texts(model, least, most, LONE_TEXTS)
        named[f"bulk {name}"] = texts(model, least, most, bulk)
    file.write_text(json.dumps(named), encoding="utf-8")
    return {
        name: sum(useful_flops(model.config, len(tokenizer(text).input_ids)) for text in group)
        for name, group in named.items()
    }


def useful_flops(config: dict[str, Any], length: int) -> int:
    """Additions and multiplications that one text with one mask cannot do without.

    Matrix products alone, of a text without padding: all layers but the last at every token; of the
    last one keys and values at every token, and the rest, as the head, at the mask.
    """
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    projections, feed_forward = 4 * hidden * hidden, 2 * hidden * inner
    attention = 2 * length * hidden
    whole_layer = length * (projections + feed_forward + attention)
    last = length * 2 * hidden * hidden + 2 * hidden * hidden + feed_forward + attention
    head = hidden * hidden + hidden * config["vocab_size"]
    return 2 * ((config["num_hidden_layers"] - 1) * whole_layer + last + head)
