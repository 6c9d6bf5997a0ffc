"""What P4 tokenizes, and with which tokenizers."""

from __future__ import annotations

import gzip
import json
import os
import random
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mlmfast.data.tokenization.encoder import LIBRARY, TextEncoder
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.demo.corpus import write_corpus

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
ENGLISH_BYTES = 16_000_000
MIXED_BYTES = 4_000_000
NAME = "tokenizer.json"


@dataclass(frozen=True)
class Family:
    """One tokenizer to measure with.

    Attributes:
        name: The model's name, or what it was trained on.
        kind: "WordPiece", "byte-level BPE" or "Unigram".
        file: Its tokenizer.json.
    """

    name: str
    kind: str
    file: Path


def families(folder: Path) -> list[Family]:
    """Tokenizers of real models where they are at hand, or some trained on Python's own text.

    MLMFAST_BENCH_TOKENIZERS may name a folder with others, each in a folder of its own.
    """
    chosen = os.environ.get("MLMFAST_BENCH_TOKENIZERS")
    if chosen:
        files = sorted(Path(chosen).absolute().glob(f"*/{NAME}"))
        if not files:
            raise SystemExit(f"no folder in {chosen} holds a {NAME}")
        return [Family(file.parent.name, _kind(file), file) for file in files]
    known = {
        "bert-base-uncased": "WordPiece",
        "roberta-base": "byte-level BPE",
        "modernbert-base": "byte-level BPE",
        "xlm-roberta-base": "Unigram",
    }
    real = [Family(name, kind, SHARED / "tokenizers" / name / NAME) for name, kind in known.items()]
    if all(family.file.is_file() for family in real):
        return real
    sentences = _python_text()[:4000]
    kinds = {"wordpiece": "WordPiece", "bpe": "byte-level BPE", "unigram": "Unigram"}
    for model in kinds:
        train_tokenizer(sentences, folder / model, model=model, vocab_size=8000)
    return [
        Family("8,000 tokens, trained on Python's own text", kind, folder / model / NAME)
        for model, kind in kinds.items()
    ]


def _kind(file: Path) -> str:
    """What the core calls the family of a tokenizer, or the library's name of its model."""
    encoder = TextEncoder(load_tokenizer(file))
    if encoder.engine != LIBRARY:
        return encoder.engine
    model = json.loads(file.read_text(encoding="utf-8"))["model"].get("type", "unknown")
    return f"{model}, encoded by the library: {encoder.reason}"


def texts() -> dict[str, list[str]]:
    """Name -> paragraphs. Without the shared texts there is only Python's own, in English."""
    books = SHARED / "text" / "books" / "books_en_48m.txt.gz"
    japanese = SHARED / "text" / "multilingual" / "wagahai.ja.txt"
    mixed = SHARED / "text" / "multilingual" / "udhr2.zip"
    if not all(file.is_file() for file in (books, japanese, mixed)):
        return {"Python's text": _python_text()}
    return {
        "English books": english(ENGLISH_BYTES),
        "Japanese novel": _paragraphs(japanese.read_text(encoding="utf-8"), "\n"),
        "388 languages": _languages(mixed),
    }


def english(size: int) -> list[str]:
    """Paragraphs of about so many bytes: of books, or of Python's own text, over and over."""
    books = SHARED / "text" / "books" / "books_en_48m.txt.gz"
    if books.is_file():
        with gzip.open(books, "rt", encoding="utf-8", newline="") as file:
            return _paragraphs(file.read(size), "\r\n\r\n")
    found = _python_text()
    whole = sum(len(text.encode()) for text in found)
    return found * max(1, size // whole)


def column(paragraphs: list[str]) -> pa.Array:
    """The paragraphs as Arrow holds them."""
    return pa.array(paragraphs, pa.large_string())


def _paragraphs(text: str, separator: str) -> list[str]:
    return [part for part in text.split(separator) if part.strip()]


def _languages(archive: Path) -> list[str]:
    """Paragraphs of all languages in a random order, so that every part of them holds many."""
    found: list[str] = []
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            if name.endswith(".txt"):
                found += _paragraphs(files.read(name).decode(errors="ignore"), "\n")
    random.Random(0).shuffle(found)
    size, kept = 0, []
    for text in found:
        size += len(text.encode())
        if size > MIXED_BYTES:
            break
        kept.append(text)
    return kept


def _python_text() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "corpus.jsonl"
        write_corpus(file)
        with file.open(encoding="utf-8") as lines:
            documents = [json.loads(line)["text"] for line in lines]
    return [text for document in documents for text in document.split("\n")]
