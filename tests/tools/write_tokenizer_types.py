"""Write which tokenizer each model type has, and what encodes it, into docs/architectures.md.

    PYTHONPATH=python python tests/tools/write_tokenizer_types.py

It rewrites the table of the installed transformers and leaves those of other versions. It needs the
texts and tokenizers of ../shared/data, and takes some minutes.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from architectures import masked_types
from full_equality import TEXTS, languages
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.python_classes.slow import SlowTokenizer
from mlmfast.data.tokenization.verification.code_points import unknown_code_points
from mlmfast.data.tokenization.verification.comparing import compare
from mlmfast.data.tokenization.verification.parity import Unsupported, build_core, verified_encoder
from places import SHARED
from tokenizer_types import GENERIC, class_of, folder_of, recipe
from write_architectures import DOCUMENT

TITLES = ("types", "class", "family", "encoded by", "vocabulary", "English", "languages", "remark")
# The cells of a row that are known without a measurement: the rest depends on texts.
KNOWN = ("class", "family", "encoded by")
SECTION = "## Tokenizers\n"
INTRODUCTION = """## Tokenizers

What encodes the tokenizer of each type ([Exact tokenization](tokenization.md)), written by
`tests/tools/write_tokenizer_types.py`; the tests check that it still does.

- **class**: what transformers gives the type; the fast class, where there are two. Where it gives
  none (*-*), and for `PreTrainedTokenizerFast` and `TokenizersBackend`, a checkpoint's
  tokenizer.json says everything.
- **encoded by**: the *core*, proven for this tokenizer as for any other; the *library*; or
  *Python*, where the class exists only there, or a part of it.
- **vocabulary**: the published tokenizer whose pieces it was measured with. All the rest, special
  tokens included, is what transformers' class, and its converter from SentencePiece with the
  class's defaults, make of them, or what the remark says.
- **English**, **languages**: the share of the bytes that the core left to the library, in the lines
  of WikiText-2's test set that are ASCII (EN_BYTES MB), and in every third of the declarations of
  human rights in 388 languages (ML_BYTES MB). All ids were the library's.
"""
VOCABULARIES = {
    "bert-base-uncased": "BERT, uncased",
    "roberta-base": "RoBERTa",
    "modernbert-base": "ModernBERT",
    "xlnet-base-cased": "XLNet",
    "xlm-roberta-base": "XLM-R",
}
# Of a type, or of a class.
REMARKS = {
    "EsmTokenizer": "Written as a tokenizer.json when it is opened.",
    "EsmcTokenizer": "BPE without merges or a pre-tokenizer: characters, spaces included.",
    "ReformerTokenizer": "BPE behind a map of characters.",
    "RoFormerTokenizer": "Its splitter is a Python object.",
    "Wav2Vec2CTCTokenizer": "For transcripts: the type takes sound.",
    "eurobert": "Llama 3's pattern.",
    "modernbert": "ModernBERT's file.",
    "modernvbert": "ModernBERT's file.",
    "nystromformer": "As ALBERT's converter writes it.",
    "xlm-roberta-xl": "As XLM-R's converter writes it.",
}
NO_FILE = "No file of it is at hand: `mlmfast tokenizer` says what encodes it."


@dataclass(frozen=True)
class Found:
    """The tokenizer of a type."""

    tokenizer: Any = None
    """As mlmfast has opened it; None if it is written in Python, or if no file of it is known."""
    cells: tuple[str, str, str] = ("-", "-", "-")
    """Those of `KNOWN`."""


def find(kind: str, published: Path) -> Found:
    """Make the tokenizer of a type and ask which engine takes it.

    Args:
        kind: A model type.
        published: A folder of folders with the tokenizers whose vocabularies are used.
    """
    name = class_of(kind) or "-"
    if recipe(kind) is None:
        return Found(None, (name, "-", "-" if name == "-" else "Python"))
    with tempfile.TemporaryDirectory() as folder, folder_of(kind, Path(folder), published) as made:
        tokenizer = load_tokenizer(made).tokenizer
    if isinstance(tokenizer, SlowTokenizer):
        return Found(None, (name, "-", "Python"))
    core = build_core(tokenizer, unknown_code_points())
    if isinstance(core, Unsupported):
        return Found(tokenizer, (name, type(tokenizer.model).__name__, "library"))
    return Found(tokenizer, (name, core.family, "core"))


def shares(found: Found, texts: Sequence[Sequence[str]]) -> list[str]:
    """The share of each text that the core leaves to the library; the end, if an id differs."""
    if found.tokenizer is None:
        return ["-"] * len(texts)
    if found.cells[-1] == "library":
        return ["all"] * len(texts)
    core = verified_encoder(found.tokenizer)
    if isinstance(core, Unsupported):
        sys.exit(f"The core takes the pipeline, and fails the check: {core}")
    measured = []
    for some in texts:
        compared = compare(found.tokenizer, core, some)
        if not all(compared.equal):
            sys.exit(f"The core gives other ids: {some[compared.equal.index(False)][:200]!r}")
        share = sum(compared.left) / size(some)
        measured.append(f"{share:.2%}" if share else "none")
    return measured


def size(texts: Iterable[str]) -> int:
    """The bytes of texts."""
    return sum(len(text.encode()) for text in texts)


def english() -> list[str]:
    """The lines of WikiText-2's test set that are ASCII."""
    lines = (TEXTS / "wikitext-2" / "test.raw.txt").read_text("utf-8").splitlines(keepends=True)
    return [line for line in lines if line.isascii()]


def table(texts: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Measure all types and return the rows: types whose other cells are equal share one."""
    rows: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
    for kind in masked_types():
        found = find(kind, SHARED / "tokenizers")
        cells = (*found.cells, _vocabulary(kind, found), _remark(kind))
        if cells not in rows:
            rows[cells] = ([], shares(found, texts))
            sys.stderr.write(f"{kind}: {', '.join(cells[:3])}\n")
        rows[cells][0].append(kind)
    return [
        (", ".join(kinds), *cells[:-1], *measured, cells[-1])
        for cells, (kinds, measured) in rows.items()
    ]


def _vocabulary(kind: str, found: Found) -> str:
    made = recipe(kind)
    if made is None or found.tokenizer is None:
        return "-"
    return VOCABULARIES.get(made.vocabulary, made.vocabulary)


def _remark(kind: str) -> str:
    name = class_of(kind)
    if name is None and recipe(kind) is None:
        return NO_FILE
    of_class = name is not None and name not in GENERIC
    return REMARKS.get(name.removesuffix("Fast") if of_class else kind, "")


def read(document: Path = DOCUMENT) -> dict[str, list[tuple[str, ...]]]:
    """Return the tables' rows by version of transformers."""
    tables = {}
    for part in re.split(r"^### transformers ", _section(document)[1], flags=re.MULTILINE)[1:]:
        version, _, body = part.partition("\n")
        lines = [line for line in body.splitlines() if line.startswith("| ")][2:]
        tables[version] = [tuple(cell.strip() for cell in line[2:-2].split("|")) for line in lines]
    return tables


def _section(document: Path) -> tuple[str, str, str]:
    """What is before the section, the section, and what is after it."""
    before, heading, rest = document.read_text("utf-8").partition(f"\n{SECTION}")
    body, border, after = rest.partition("\n## ")
    return before, f"{heading[1:]}{body}", f"{border[1:]}{after}"


def write(document: Path = DOCUMENT) -> None:
    """Rewrite the table of the installed transformers."""
    import tokenizers
    import transformers

    texts = (english(), languages()[::3])
    lines = [TITLES, tuple("---" for _ in TITLES), *table(texts)]
    mine = f"### transformers {transformers.__version__}\n"
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    written = f"{mine}\nWith tokenizers {tokenizers.__version__}.\n\n{body}"
    introduction = INTRODUCTION
    for name, some in zip(("EN_BYTES", "ML_BYTES"), texts, strict=True):
        introduction = introduction.replace(name, f"{size(some) / 1e6:.1f}")
    before, old, after = _section(document)
    parts = re.split(r"^(?=### )", old, flags=re.MULTILINE)[1:]
    kept = [part.strip() for part in parts if not part.startswith(mine)]
    sections = (before, introduction, *sorted([*kept, written]), after)
    text = "\n\n".join(part.strip() for part in sections if part.strip())
    document.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write()
    sys.stdout.write(f"{DOCUMENT} is written.\n")
