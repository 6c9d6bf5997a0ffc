"""Published tokenizers and texts that lie in the repository (tests/tokenizers)."""

from __future__ import annotations

import atexit
import lzma
import shutil
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from places import TESTS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDER = TESTS / "tokenizers"
# What the core calls the family of each.
FAMILIES = {
    "bert-base-uncased": "WordPiece",
    "roberta-base": "byte-level BPE",
    "t5-small": "Unigram",
}
PUBLISHED = tuple(FAMILIES)
# Modules of the standard library whose sources are text of many kinds: prose, code, tables.
_MODULES = ("pydoc_data/topics.py", "argparse.py", "html/entities.py", "textwrap.py", "this.py")
_MODULE_CHARACTERS = 60_000


@cache
def published_folder(name: str) -> Path:
    """Return a folder with the tokenizer's files as they were published; no test changes it."""
    folder = Path(tempfile.mkdtemp(prefix=f"mlmfast-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for file in (FOLDER / name).iterdir():
        if file.suffix == ".xz":
            (folder / file.stem).write_bytes(lzma.decompress(file.read_bytes()))
        elif file.suffix == ".json":
            shutil.copy(file, folder)
    return folder


@cache
def published_tokenizer(name: str) -> Tokenizer:
    """Return the `tokenizers` library's own tokenizer, without truncation and padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(published_folder(name) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@cache
def languages() -> tuple[str, ...]:
    """Return a paragraph in each of many languages, and some code, mathematics and chat."""
    return tuple((FOLDER / "languages.txt").read_text("utf-8").split("\n"))


@cache
def python_texts() -> tuple[str, ...]:
    """Return sources of the standard library, as far as it has them, each as one long text."""
    library = Path(sysconfig.get_path("stdlib"))
    files = [library / name for name in _MODULES if (library / name).is_file()]
    return tuple(file.read_text("utf-8")[:_MODULE_CHARACTERS] for file in files)
