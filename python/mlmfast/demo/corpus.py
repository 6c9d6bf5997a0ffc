"""English text that comes with every Python: its language reference and docstrings."""

from __future__ import annotations

import ast
import json
import re
import sysconfig
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Folders of the standard library that are not the library: tests, programs, other people's code.
_SKIPPED = frozenset({"test", "tests", "idlelib", "site-packages", "dist-packages", "turtledemo"})
_HAS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_SHORTEST = 20
"""Characters a paragraph needs to say anything."""


def write_corpus(output: Path, library: Path | None = None) -> tuple[int, int]:
    """Write the documents as JSON lines, `{"source": ..., "text": ...}`.

    The same Python gives the same file: modules are parsed, in the order of their names, and never
    imported.

    Args:
        output: the file to write.
        library: the folder of the modules; None for the standard library of this Python.

    Returns:
        The number of documents and the bytes of their text in UTF-8.

    Raises:
        InputError: the library has no text, because its sources were stripped.
    """
    library = library or Path(sysconfig.get_path("stdlib"))
    count = size = 0
    seen: set[str] = set()
    with output.open("w", encoding="utf-8") as file:
        for source, text in _documents(library):
            fresh = [each for each in dict.fromkeys(paragraphs(text)) if each not in seen]
            if not fresh:
                continue
            seen.update(fresh)
            document = "\n".join(fresh)
            file.write(json.dumps({"source": source, "text": document}, ensure_ascii=False) + "\n")
            count += 1
            size += len(document.encode())
    if not count:
        raise InputError(
            f"The standard library in {library} has no sources to take text from: give text of "
            "your own with --data."
        )
    return count, size


def paragraphs(text: str) -> list[str]:
    r"""Split a text at its blank lines, and join the lines of each paragraph.

    >>> paragraphs("Return the sum\nof all items.\n\n    Raise ValueError on none.")
    ['Return the sum of all items.', 'Raise ValueError on none.']
    """
    joined = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return [part for part in joined if len(part) >= _SHORTEST]


def _documents(root: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if _SKIPPED.isdisjoint(parts) and not parts[-1].startswith("test_"):
            name = ".".join(parts)
            tree = _parse(path)
            if tree is None:
                continue
            if name == "pydoc_data.topics":
                yield from _topics(tree)
            else:
                yield from _docstrings(name, tree)


def _parse(path: Path) -> ast.Module | None:
    """Parse a module; None for one that this Python does not understand, such as a template."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return None


def _docstrings(module: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, _HAS_DOCSTRING):
            text = ast.get_docstring(node)
            if text:
                yield f"{module}.{getattr(node, 'name', '')}".rstrip("."), text


def _topics(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the chapters of the language reference, which are one large dict of strings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                    yield f"reference.{key.value!s}", str(value.value)
