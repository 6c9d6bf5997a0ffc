"""Stages that run once: a finished stage is recognized by a key of its inputs."""

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

_CACHE_FILE = "demo.json"


@dataclass(frozen=True)
class Stage:
    """A finished stage.

    Attributes:
        key: a hash of its inputs, including those of the stages before it.
        figures: its results, as JSON.
        seconds: how long it took when it ran.
        reused: whether an earlier run finished it.
    """

    key: str
    figures: dict[str, Any]
    seconds: float
    reused: bool


class StageCache:
    """The file that records the finished stages of a folder with the keys of their inputs.

    Args:
        folder: the folder of the stages' outputs.
        fresh: ignore the stages that an earlier run finished.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self._file = folder / _CACHE_FILE
        self._entries: dict[str, Any] = {}
        if self._file.is_file() and not fresh:
            try:
                self._entries = dict(json.loads(self._file.read_text(encoding="utf-8")))
            except ValueError:
                self._entries = {}  # cut off while it was written: all stages run again

    def run(
        self,
        name: str,
        inputs: dict[str, Any],
        output: Path,
        make: Callable[[str], dict[str, Any]],
    ) -> Stage:
        """Run a stage, unless it is finished with the same inputs and its output exists.

        Args:
            name: the name of the stage.
            inputs: everything that its result depends on, as JSON.
            output: the file or folder that it writes.
            make: runs the stage, given its key, and returns its figures.
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

    def get(self, name: str) -> dict[str, Any]:
        """Return the entry `name`; empty if there is none."""
        return self._entries.get(name, {})

    def put(self, name: str, entry: dict[str, Any]) -> None:
        """Record an entry for a later run."""
        self._entries[name] = entry
        self.save()

    def save(self) -> None:
        """Write the file atomically."""
        write_atomic(self._file, json.dumps(self._entries, indent=2).encode())
