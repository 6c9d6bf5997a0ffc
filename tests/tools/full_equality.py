"""Compare the core with the `tokenizers` library on all texts of ../shared/data, id for id.

For the tokenizers there, and for those of families that they do not belong to, made from them.

A check to run by hand (`make test-equality`): the library takes minutes for what the tests sample.
One line a tokenizer and text; the exit status is 1 where an id differs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from mlmfast import _core
from mlmfast.data.tokenization.hf_encoder import encode_pieces, pieces_of
from mlmfast.data.tokenization.load import LoadedTokenizer, load_tokenizer
from mlmfast.data.tokenization.verification.edges.corpus import hard_texts
from mlmfast.data.tokenization.verification.parity import Unsupported, verified_encoder

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from bpe_families import FAMILIES
from places import SHARED
from sequences import genome, proteins
from spm_pipelines import PIPELINES, altered
from word_pipelines import WORD_PIPELINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXTS = SHARED / "text"
# Its vocabulary stands behind every pipeline of SentencePiece's converters, as `t5-small:albert`.
ALTERED = "t5-small"
# With those, one paragraph of so many of the books.
SAMPLED = 10
# Documents of about so much text are encoded at a time.
BATCH_BYTES = 8_000_000
SHOWN = 3


@dataclass
class Outcome:
    """What a comparison found."""

    documents: int = 0
    text_bytes: int = 0
    tokens: int = 0
    left: int = 0
    """Bytes of text that the core left to the library."""
    different: int = 0
    seconds: float = 0.0


def books() -> list[str]:
    """Paragraphs of all books, with the line ends that they have."""
    with gzip.open(
        TEXTS / "books" / "books_en_48m.txt.gz", "rt", encoding="utf-8", newline=""
    ) as f:
        parts = f.read().split("\r\n\r\n")
    return [part + "\r\n\r\n" for part in parts]


def eli5() -> list[str]:
    """Questions and answers."""
    with gzip.open(
        TEXTS / "eli5_category" / "validation2.jsonl.gz", "rt", encoding="utf-8"
    ) as lines:
        return [text for line in lines for text in _strings(json.loads(line))]


def wikitext() -> list[str]:
    """Lines of both files."""
    files = sorted((TEXTS / "wikitext-2").iterdir())
    return [line for file in files for line in _text(file).splitlines(keepends=True)]


def languages() -> list[str]:
    """The declaration of human rights, a document a language."""
    with zipfile.ZipFile(TEXTS / "multilingual" / "udhr2.zip") as files:
        names = sorted(name for name in files.namelist() if name.endswith(".txt"))
        return [files.read(name).decode(errors="replace") for name in names]


def japanese() -> list[str]:
    """The novel as a whole, and its lines."""
    whole = _text(TEXTS / "multilingual" / "wagahai.ja.txt")
    return [whole, *whole.splitlines()]


def dirty() -> list[str]:
    """Every file as a whole, and its lines."""
    files = [_text(file) for file in sorted((TEXTS / "dirty").iterdir())]
    return [part for text in files for part in (text, *text.split("\n"))]


def made(loaded: LoadedTokenizer) -> list[str]:
    """Hard texts, special tokens in all surroundings, a megabyte without a space."""
    added = json.loads(loaded.tokenizer.to_str())["added_tokens"]
    tokens = [token["content"] for token in added][:200]
    around = (
        "{}",
        "a{}b",
        "a {} b",
        " {}",
        "{} ",
        "a  {}\t{}",
        "({})",
        "\n{}\r\n",
        "\u3042{}\u3044",
    )
    special = [form.replace("{}", token) for token in tokens for form in around]
    return [*hard_texts(), *special, "x" * 1_000_000, "\u6771\u4eac" * 170_000, ""]


def sequences() -> list[str]:
    """Random proteins and DNA."""
    return [*proteins(20_000), *genome(2000), *genome(3, length=200_000)]


CORPORA: dict[str, Callable[[], list[str]]] = {
    "books": books,
    "eli5": eli5,
    "wikitext": wikitext,
    "languages": languages,
    "japanese": japanese,
    "dirty": dirty,
    "sequences": sequences,
}


def compare(
    loaded: LoadedTokenizer, core: _core.Encoder, texts: list[str], threads: int | None
) -> Outcome:
    """Encode `texts` with the core and with the library, and print the first that differ."""
    outcome = Outcome()
    start = time.perf_counter()
    for batch in _batches(texts):
        column = pa.array(batch, pa.large_string())
        offsets, ids, left = _by_core(loaded, core, column, threads)
        lengths, expected = encode_pieces(
            loaded.tokenizer, pieces_of(column), dtype=np.dtype(np.uint32), threads=threads
        )
        outcome.documents += len(batch)
        outcome.text_bytes += sum(len(text.encode()) for text in batch)
        outcome.tokens += len(expected)
        outcome.left += left
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        if np.array_equal(offsets, bounds) and np.array_equal(ids, expected):
            continue
        for row, text in enumerate(batch):
            ours = ids[offsets[row] : offsets[row + 1]]
            theirs = expected[bounds[row] : bounds[row + 1]]
            if not np.array_equal(ours, theirs):
                outcome.different += 1
                if outcome.different <= SHOWN:
                    print(_difference(text, ours, theirs), file=sys.stderr)
    outcome.seconds = time.perf_counter() - start
    return outcome


def _by_core(
    loaded: LoadedTokenizer, core: _core.Encoder, column: pa.Array, threads: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Where each text's ids begin, all ids, and how many bytes the library encoded."""
    encoded = core.encode(column, before=[], after=[], narrow=False, threads=threads)
    pending = encoded.pending()
    lengths, answers = encode_pieces(
        loaded.tokenizer,
        pieces_of(pa.array(pending, pa.large_string())),
        dtype=np.dtype(np.uint32),
        threads=threads,
    )
    offsets, ids = encoded.finish(answers, lengths.astype(np.uintp))
    return offsets, ids, sum(len(text.encode()) for text in pending)


def _difference(text: str, ours: np.ndarray, theirs: np.ndarray) -> str:
    shorter = min(len(ours), len(theirs))
    differ = np.flatnonzero(ours[:shorter] != theirs[:shorter])
    at = int(differ[0]) if len(differ) else shorter
    around = slice(max(at - 3, 0), at + 5)
    return (
        f"  {text[:100]!r} ({len(text):,} characters), from id {at:,} on: "
        f"{ours[around].tolist()} instead of {theirs[around].tolist()}"
    )


def _batches(texts: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _text(file: Path) -> str:
    return file.read_bytes().decode("utf-8", errors="replace")


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for part in parts for text in _strings(part)]


def named(name: str) -> LoadedTokenizer:
    """A made tokenizer, or one of the shared folder behind the pipeline that `name` may end in."""
    if name in WORD_PIPELINES:
        return load_tokenizer(WORD_PIPELINES[name]())
    if name in FAMILIES:
        texts = [*wikitext()[::5], *japanese()[1::5], *dirty()[::5]]
        made = FAMILIES[name](SHARED / "tokenizers", texts)
        return load_tokenizer(Tokenizer.from_str(made))
    folder, _, pipeline = name.partition(":")
    loaded = load_tokenizer(SHARED / "tokenizers" / folder)
    if not pipeline:
        return loaded
    return replace(loaded, tokenizer=altered(loaded.tokenizer, pipeline))


def main() -> int:
    """Compare what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "tokenizers",
        nargs="*",
        help="names of ../shared/data/tokenizers, of one and a pipeline, or of a made one",
    )
    parser.add_argument("--texts", nargs="*", choices=[*CORPORA, "made"])
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    folder = SHARED / "tokenizers"
    if not folder.is_dir():
        print("../shared/data is not there: nothing to compare", file=sys.stderr)
        return 2
    bad = 0
    names = sorted(path.name for path in folder.iterdir())
    names += [f"{ALTERED}:{pipeline}" for pipeline in PIPELINES] + [*WORD_PIPELINES] + [*FAMILIES]
    for name in arguments.tokenizers or names:
        loaded = named(name)
        core = verified_encoder(loaded.tokenizer)
        if isinstance(core, Unsupported):
            print(f"{name:28} is not encoded by the core: {core}", flush=True)
            bad += 1
            continue
        for kind in arguments.texts or [*CORPORA, "made"]:
            texts = made(loaded) if kind == "made" else CORPORA[kind]()
            if kind == "books" and ":" in name:
                texts = texts[::SAMPLED]
            found = compare(loaded, core, texts, arguments.threads)
            bad += found.different > 0
            print(
                f"{name:28} {kind:10} {found.documents:>9,} documents {found.text_bytes:>10,} B "
                f"{found.tokens:>10,} ids, {found.left / found.text_bytes:7.3%} of the bytes by "
                f"the library: {found.different or 'none'} different ({found.seconds:,.0f} s)",
                flush=True,
            )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
