"""A tokenizer's files as AutoTokenizer opens them: its ids are the ones that users compare with."""

from __future__ import annotations

import json
import logging
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, MissingDependencyError, first_line
from mlmfast.tokenizer_rules import differences
from mlmfast.tokenizers_compat import read_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

logger = logging.getLogger(__name__)

# What a folder without tokenizer.json and without a named class may hold, and what to write there.
_CLASS_FOR = {
    "vocab.txt": '{"tokenizer_class": "BertTokenizer", "do_lower_case": false}',
    "merges.txt": '{"tokenizer_class": "RobertaTokenizer"}',
}


def open_folder(name: str, folder: Path) -> Any:
    """Return the tokenizer of transformers that AutoTokenizer makes of a folder.

    Raises:
        InputError: It cannot be opened.
        MissingDependencyError: transformers is not installed.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingDependencyError(
            f"The tokenizer {name!r} needs transformers to be opened: pip install 'mlmfast[train]'."
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:  # transformers raises whatever its parts raise
        raise InputError(_why_not(name, folder, error)) from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # Where there is no vocabulary, transformers 5 makes up a tokenizer without words.
        raise InputError(_why_not(name, folder, ValueError("it has no vocabulary")))
    return tokenizer


def open_files(name: str, files: dict[str, bytes]) -> Any:
    """Return the tokenizer of transformers that AutoTokenizer makes of these files.

    Raises:
        InputError: They cannot be opened.
        MissingDependencyError: transformers is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            (Path(folder) / file).write_bytes(content)
        return open_folder(name, Path(folder))


def changes_of(tokenizer: Any, content: Tokenizer) -> list[str]:
    """Say what a fast tokenizer of transformers has changed of the tokenizer.json it was made of.

    Args:
        tokenizer: the tokenizer of transformers.
        content: what tokenizer.json alone gives, without truncation and padding.
    """
    theirs = read_tokenizer(tokenizer.backend_tokenizer.to_str().encode())
    theirs.no_truncation()
    theirs.no_padding()
    before, after = content.to_str(), theirs.to_str()
    if before == after:
        return []
    found = differences(json.loads(before), json.loads(after))
    if not found and any(_around(content, text) != _around(theirs, text) for text in _PROBES):
        found.append("other special tokens are put around a text")
    return found


# A text, and none.
_PROBES = ("a", "")


def _around(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=True).ids
    return ids


@cache
def say_differences(name: str, reader: str, found: tuple[str, ...]) -> None:
    """Warn, once, that a tokenizer's files mean something else to their class than by themselves.

    Args:
        name: the tokenizer.
        reader: the class.
        found: the differences, in words.
    """
    shown = "; ".join(found[:4]) + (f"; and {len(found) - 4} more" if len(found) > 4 else "")
    logger.warning(
        "The tokenizer %r is read as transformers' %s reads it, not as its tokenizer.json alone "
        "says: %s. Name these options in its tokenizer_config.json if that is not what you want.",
        name,
        reader,
        shown,
    )


def _why_not(name: str, folder: Path, error: Exception) -> str:
    files = {file.name for file in folder.iterdir()}
    lacking = not files & {"tokenizer.json", "tokenizer_config.json", "config.json"}
    for vocabulary, config in _CLASS_FOR.items():
        if lacking and vocabulary in files:
            found = (
                "only vocab.txt" if vocabulary == "vocab.txt" else "only vocab.json and merges.txt"
            )
            return (
                f"The tokenizer {name!r} has {found}, which does not tell what reads it: write a "
                f"tokenizer_config.json beside it, such as {config}."
            )
    return f"The tokenizer {name!r} cannot be opened by transformers: {first_line(error)}"
