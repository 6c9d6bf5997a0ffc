"""Stages that are done once: a finished one is found again by what went into it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.fs.atomic import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LEDGER_FILE = "demo.json"


@dataclass(frozen=True)
class Stage:
    """A finished stage.

    Attributes:
        key: stands for everything that went into it, the stages before it included.
        figures: what it told about itself, as JSON.
        seconds: how long it took when it was done.
        reused: it was found finished.
    """

    key: str
    figures: dict[str, Any]
    seconds: float
    reused: bool


class Ledger:
    """The file that remembers which stages of a folder are finished, and from what.

    Args:
        folder: where the outputs of the stages lie.
        fresh: forget what was finished.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self._file = folder / _LEDGER_FILE
        self._entries: dict[str, Any] = {}
        if self._file.is_file() and not fresh:
            try:
                self._entries = dict(json.loads(self._file.read_text(encoding="utf-8")))
            except ValueError:
                self._entries = {}  # cut off while it was written: the stages are done again

    def run(
        self,
        name: str,
        inputs: dict[str, Any],
        output: Path,
        make: Callable[[str], dict[str, Any]],
    ) -> Stage:
        """Find a stage finished with the same inputs and its output in place, or do it.

        Args:
            name: of the stage.
            inputs: all that decides its result, as JSON.
            output: what it writes.
            make: does the stage, given its key, and returns its figures.
        """
        described = {"version": importlib.metadata.version("mlmfast"), "stage": name, **inputs}
        key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        entry = self._entries.get(name, {})
        if entry.get("key") == key and output.exists():
            return Stage(key, entry["figures"], entry["seconds"], reused=True)
        started = time.perf_counter()
        figures = make(key)
        seconds = time.perf_counter() - started
        self._entries[name] = {"key": key, "figures": figures, "seconds": seconds}
        self.save()
        return Stage(key, figures, seconds, reused=False)

    def recall(self, name: str) -> dict[str, Any]:
        """Give back what `remember` was told."""
        return self._entries.get(name, {})

    def remember(self, name: str, entry: dict[str, Any]) -> None:
        """Note something that a later run needs to know."""
        self._entries[name] = entry
        self.save()

    def save(self) -> None:
        """Write the file, whole or not at all."""
        write_atomic(self._file, json.dumps(self._entries, indent=2).encode())
