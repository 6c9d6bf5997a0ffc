"""A contender of P4 in a process of its own, which does what it is told, one line at a time.

`python benches/tokenize_worker.py LABEL TOKENIZER THREADS FOLDER` answers each command on standard
input by one line of JSON: `refusal TEXT BYTES` tries it (why it fails, or null), `fresh` makes the
encoder anew (seconds), `encode TEXT BYTES` encodes the first so many bytes of a text (seconds),
`peak TEXT BYTES` does too (bytes of memory on top), `ids TEXT BYTES` writes the ids into the folder
(their file).
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from alone import huge_pages, peak_of_call
from tokenize_ways import SEPARATOR, Text, Way, named


class Worker:
    """The parent's end: a process that waits for commands."""

    def __init__(
        self, label: str, tokenizer: Path, threads: int, folder: Path, env: dict[str, str]
    ) -> None:
        command = [sys.executable, __file__, label, str(tokenizer), str(threads), str(folder)]
        self.label = label
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def ask(self, *command: object) -> Any:
        """Send one command and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, command)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.label} ended, {self._process.wait()}, at {command}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class _Commands:
    def __init__(self, label: str, tokenizer: str, threads: str, folder: str) -> None:
        self.make = named(label).make
        self.arguments = Path(tokenizer), int(threads)
        self.folder = Path(folder)
        self.way: Way | None = None

    @cache  # noqa: B019 - it lives as long as the process
    def text(self, name: str, size: str) -> Text:
        """The first paragraphs of a text, which make up about `size` bytes."""
        with pa.memory_map(str(self.folder / f"{name}.arrow")) as file:
            column = pa.ipc.open_file(file).read_all().column(0).combine_chunks()
        ends = np.cumsum(pc.binary_length(column).to_numpy())
        count = max(1, int(np.searchsorted(ends, int(size), "right")))
        column = pa.concat_arrays([column[:count]])
        strings = column.to_pylist()
        file = self.folder / f"{name}-{count}.txt"
        content = SEPARATOR.join(strings)
        if not file.exists():
            file.write_text(content, encoding="utf-8", newline="")
        return Text(column, strings, file, int(ends[count - 1]))

    def fresh(self) -> float:
        forget = getattr(self.way, "forget", None)
        start = time.perf_counter()
        if forget is not None:
            forget()
            return time.perf_counter() - start
        self.way = None
        gc.collect()
        self.way = self.make(*self.arguments)
        return time.perf_counter() - start

    def refusal(self, name: str, size: str) -> str | None:
        """Why it does not take the tokenizer; None if it does."""
        try:
            self.fresh()
            way = self._way()
            way.ids(way.encode(self.text(name, size)))
        except BaseException as error:  # noqa: BLE001 - those of Rust are no Exception
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return None

    def size(self, name: str, size: str) -> int:
        return self.text(name, size).size

    def encode(self, name: str, size: str) -> float:
        text = self.text(name, size)
        gc.collect()
        start = time.perf_counter()
        found = self._way().encode(text)
        elapsed = time.perf_counter() - start
        del found
        return elapsed

    def peak(self, name: str, size: str) -> int:
        text, way = self.text(name, size), self._way()
        huge_pages(allowed=False)
        found = peak_of_call(lambda: way.encode(text))
        huge_pages(allowed=True)
        return found

    def ids(self, name: str, size: str) -> str:
        way = self._way()
        lengths, ids = way.ids(way.encode(self.text(name, size)))
        file = self.folder / f"{id(self)}-{time.monotonic_ns()}.npz"
        np.savez(file, lengths=lengths, ids=ids)
        return str(file)

    def _way(self) -> Way:
        if self.way is None:
            self.fresh()
        assert self.way is not None
        return self.way


def _main(*arguments: str) -> None:
    commands = _Commands(*arguments)
    for line in sys.stdin:
        name, *rest = line.split(" ")
        print(json.dumps(getattr(commands, name.strip())(*map(str.strip, rest))), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
