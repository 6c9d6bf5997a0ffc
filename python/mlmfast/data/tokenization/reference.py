"""Opening a tokenizer's files with AutoTokenizer, whose ids are the reference."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, MissingDependencyError, first_line
from mlmfast.tokenizer_rules import differences
from mlmfast.tokenizers_compat import read_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenizers import Tokenizer

logger = logging.getLogger(__name__)

# For folders with a bare vocabulary: the vocabulary's file -> the tokenizer_config.json to suggest.
_CLASS_FOR = {
    "vocab.txt": '{"tokenizer_class": "BertTokenizer", "do_lower_case": false}',
    "merges.txt": '{"tokenizer_class": "RobertaTokenizer"}',
}


def open_folder(name: str, folder: Path) -> Any:
    """Open a folder with AutoTokenizer and return the transformers tokenizer.

    Raises:
        InputError: The folder cannot be opened.
        MissingDependencyError: transformers is not installed.
    """
    with _torch_as_use_torch_says():
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise MissingDependencyError(
                f"The tokenizer {name!r} needs transformers to be opened: "
                "pip install 'mlmfast[train]'."
            ) from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        except Exception as error:  # transformers raises whatever its parts raise
            raise InputError(_open_error(name, folder, error)) from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # If there is no vocabulary, transformers 5 returns a tokenizer with special tokens only.
        raise InputError(_open_error(name, folder, ValueError("it has no vocabulary")))
    return tokenizer


def open_files(name: str, files: dict[str, bytes]) -> Any:
    """Open files with AutoTokenizer and return the transformers tokenizer.

    Raises:
        InputError: The files cannot be opened.
        MissingDependencyError: transformers is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            (Path(folder) / file).write_bytes(content)
        return open_folder(name, Path(folder))


@contextmanager
def _torch_as_use_torch_says() -> Iterator[None]:
    """Hide torch where USE_TORCH is 0, as transformers 4 does; version 5 knows no such variable."""
    hidden = os.environ.get("USE_TORCH") == "0" and "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]  # Python's own way to say so
    try:
        yield
    finally:
        if hidden:
            del sys.modules["torch"]


def changes_of(tokenizer: Any, content: Tokenizer) -> list[str]:
    """Describe how a fast transformers tokenizer differs from the tokenizer.json it was built from.

    Args:
        tokenizer: The transformers tokenizer.
        content: The tokenizer that tokenizer.json alone gives, without truncation and padding.
    """
    reference = read_tokenizer(tokenizer.backend_tokenizer.to_str().encode())
    reference.no_truncation()
    reference.no_padding()
    before, after = content.to_str(), reference.to_str()
    if before == after:
        return []
    changes = differences(json.loads(before), json.loads(after))
    if not changes and any(
        _with_special_tokens(content, text) != _with_special_tokens(reference, text)
        for text in _PROBES
    ):
        changes.append("other special tokens are put around a text")
    return changes


# A text, and an empty one.
_PROBES = ("a", "")


def _with_special_tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=True).ids
    return ids


@cache
def warn_differences(name: str, class_: str, changes: tuple[str, ...]) -> None:
    """Warn, once, that a tokenizer's class reads its files differently from tokenizer.json.

    Args:
        name: The tokenizer.
        class_: The tokenizer class of transformers.
        changes: The differences, in words.
    """
    shown = "; ".join(changes[:4]) + (f"; and {len(changes) - 4} more" if len(changes) > 4 else "")
    logger.warning(
        "The class %s of transformers reads the tokenizer %r differently from its tokenizer.json "
        "alone: %s. mlmfast follows the class; if that is not what you want, set these options in "
        "tokenizer_config.json.",
        class_,
        name,
        shown,
    )


def _open_error(name: str, folder: Path, error: Exception) -> str:
    files = {file.name for file in folder.iterdir()}
    bare_vocabulary = not files & {"tokenizer.json", "tokenizer_config.json", "config.json"}
    for vocabulary, config in _CLASS_FOR.items():
        if bare_vocabulary and vocabulary in files:
            contents = (
                "only vocab.txt" if vocabulary == "vocab.txt" else "only vocab.json and merges.txt"
            )
            return (
                f"The tokenizer {name!r} has {contents}, which does not name its class: write a "
                f"tokenizer_config.json beside it, such as {config}."
            )
    return f"The tokenizer {name!r} cannot be opened by transformers: {first_line(error)}"
