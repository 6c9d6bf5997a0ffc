"""P4, sequences: FASTA to blocks on disk, beside the tokenizers' own classes in `datasets.map`."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
from recipes import sum_form

import mlmfast

OURS_BYTES, THEIRS_BYTES = 100_000_000, 500_000
PROTEIN = "LAGVSERTIDPKQNFYMHWC"
BASES = "ACGT"
CHROMOSOME = 5_000_000
ESM2 = ["<cls>", "<pad>", "<eos>", "<unk>", *PROTEIN, *"XBUZO.-", "<null_1>", "<mask>"]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
KMERS = ["".join(letters) for letters in itertools.product("ATCG", repeat=6)]
NUCLEOTIDES = ["<unk>", "<pad>", "<mask>", "<cls>", *KMERS, *"ATCGN"]


@dataclass(frozen=True)
class Road:
    """The way of one published model from FASTA to blocks.

    Attributes:
        name: The model.
        words: Its vocabulary, as published.
        class_: The class of transformers that reads it.
        alphabet: Letters of the sequences, which are random: what is in them costs nothing here.
        length: Letters of a sequence, on average (proteins), or of all but the last (DNA).
        options: Of `prepare`.
    """

    name: str
    words: list[str]
    class_: str
    alphabet: str
    length: int
    options: dict[str, Any]


ROADS = (
    Road("ESM-2", ESM2, "EsmTokenizer", PROTEIN, 330, {"packing": "best_fit", "block_size": 512}),
    Road(
        "DNABERT, 6-mers",
        [*BERT, *KMERS],
        "BertTokenizerFast",
        BASES,
        CHROMOSOME,
        {"kmer": 6, "fasta_chunk": 510, "packing": "none", "block_size": 512},
    ),
    Road(
        "Nucleotide Transformer",
        NUCLEOTIDES,
        "EsmTokenizer",
        BASES,
        CHROMOSOME,
        {"fasta_chunk": 6000, "block_size": 1024},
    ),
)


def sequences(road: Road, size: int) -> list[bytes]:
    """Random sequences of `size` letters together."""
    draw = np.random.default_rng(7)
    letters = np.frombuffer(road.alphabet.encode(), np.uint8)
    found, left = [], size
    while left > 0:
        drawn = road.length if road.length == CHROMOSOME else int(draw.exponential(road.length))
        length = min(1 + drawn, left)
        found.append(letters[draw.integers(0, len(letters), length)].tobytes())
        left -= length
    return found


def write(road: Road, folder: Path) -> tuple[Path, Path]:
    """Write the sequences as FASTA with lines of 60, and the tokenizer; return both paths."""
    import transformers

    fasta = folder / "sequences.fasta"
    with fasta.open("wb") as file:
        for number, sequence in enumerate(sequences(road, OURS_BYTES)):
            lines = (sequence[at : at + 60] for at in range(0, len(sequence), 60))
            file.write(b">%d\n%b\n" % (number, b"\n".join(lines)))
    words = folder / "vocab.txt"
    words.write_text("\n".join(road.words), encoding="utf-8")
    options: dict[str, Any] = {"do_lower_case": False} if road.words[0] == "[PAD]" else {}
    if road.words is NUCLEOTIDES:
        options["eos_token"] = None
    tokenizer = getattr(transformers, road.class_)(str(words), **options)
    tokenizer.save_pretrained(folder / "tokenizer")
    return fasta, folder / "tokenizer"


def documents(road: Road) -> Iterator[dict[str, str]]:
    """What `datasets.map` gets: pieces of sequences, k-mers spelled out as their code does."""
    chunk, k = road.options.get("fasta_chunk"), road.options.get("kmer")
    for sequence in sequences(road, THEIRS_BYTES):
        text = sequence.decode()
        for at in range(0, len(text), chunk or len(text)):
            piece = text[at : at + chunk] if chunk else text
            if k:
                piece = " ".join(piece[first : first + k] for first in range(len(piece) - k + 1))
            yield {"text": piece}


def in_map(road: Road, tokenizer: Path, rows: list[dict[str, str]]) -> None:
    """Tokenize and group with `datasets.map`."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    tok = transformers.AutoTokenizer.from_pretrained(str(tokenizer))
    data = datasets.Dataset.from_list(rows)
    alone = road.options.get("packing") == "none"
    limits = {"truncation": True, "padding": "max_length", "max_length": 512} if alone else {}
    data = data.map(
        lambda examples: tok(examples["text"], **limits), batched=True, remove_columns=["text"]
    )
    if not alone:
        data.map(sum_form, batched=True)


def prepare(road: Road, fasta: Path, tokenizer: Path, threads: int | None) -> None:
    """A block store."""
    with tempfile.TemporaryDirectory() as folder:
        mlmfast.prepare(
            fasta, Path(folder) / "blocks", tokenizer=tokenizer, threads=threads, **road.options
        )


def main() -> list[str]:
    """Run the measurements; the lines of the report."""
    import datasets

    datasets.disable_progress_bars()
    note = (
        f"{OURS_BYTES / 1e6:.0f} MB of random letters for ours, {THEIRS_BYTES / 1e6} MB for the "
        "tokenizer's own class in `datasets.map`, which gets its texts from memory. The "
        "vocabularies are the published ones. MB are letters; every call opens the tokenizer, "
        "which ours has converted and compared before."
    )
    title = "## P4 sequences: FASTA to blocks on disk (`benches/bench_sequences.py`)"
    lines = [title, "", note]
    for road in ROADS:
        with tempfile.TemporaryDirectory() as name:
            fasta, tokenizer = write(road, Path(name))
            rows = list(documents(road))
            store = partial(prepare, road, fasta, tokenizer)
            ways = [
                harness.Contender(
                    f"`{road.class_}` in `datasets.map`",
                    THEIRS_BYTES,
                    partial(in_map, road, tokenizer, rows),
                ),
                harness.Contender(
                    "mlmfast prepare, 1 thread", OURS_BYTES, partial(store, 1), ours=True
                ),
                harness.Contender("mlmfast prepare", OURS_BYTES, partial(store, None), ours=True),
            ]
            seconds = harness.measure(ways)
        options = ", ".join(f"{key}={value}" for key, value in road.options.items())
        lines += ["", f"**{road.name}** ({options})", "", *harness.table(ways, seconds, "B")]
    return lines


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main()))
