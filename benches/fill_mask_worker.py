"""A contender of P6 in a process of its own, which does what it is told, one line at a time.

`python benches/fill_mask_worker.py WAY FOLDER TEXTS` loads a model and answers each command on
standard input, a list in JSON, by one line of JSON: `["lone", NAME, CALLS]` answers texts one by
one (seconds a text), `["each", NAME, SECONDS]` too, for so long (seconds of each), `["bulk", NAME,
BATCH]` all texts of that name (seconds), `["answers", NAME, BATCH, TOP_K]` too (token ids and
scores), `["peak"]` tells the most memory so far (bytes).
`--once WAY FOLDER TEXT` answers one text and ends.

It imports nothing of the other benches but `fill_mask_peers`: the peers have other packages.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Answers = list[list[dict[str, Any]]]


class Worker:
    """The parent's end: a process that waits for commands."""

    def __init__(self, label: str, command: list[str], path: Path | None = None) -> None:
        self.label = label
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(path),
        )

    def ask(self, *command: object) -> Any:
        """Send one command and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("="):  # libraries write there too
                return json.loads(line[1:])
        raise RuntimeError(f"{self.label} ended, {self._process.wait()}, at {command}")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def environment(path: Path | None) -> dict[str, str]:
    """The environment as users have it, with packages of a folder before its own."""
    found = {**os.environ, "HF_HUB_OFFLINE": "1"}
    # `make bench` sets it for the sake of DataLoader's workers; encoding in bulk would suffer.
    found.pop("TOKENIZERS_PARALLELISM", None)
    if path is not None:
        paths = [str(path), os.environ.get("PYTHONPATH", "")]
        found["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return found


def load(way: str, folder: str) -> tuple[Callable[[str], Any], Callable[..., Answers]]:
    """How a way answers one text, and how it answers many in batches of a size."""
    if way == "mlmfast":
        from mlmfast.serving.fill_mask import FillMask

        # The load average, which decides by default, would be that of the peers' turns.
        ours = FillMask(folder, device="cpu", spinning=True)
        return ours, lambda texts, _, top_k=5: list(ours.stream(texts, top_k=top_k))
    import fill_mask_peers

    return fill_mask_peers.load(way, folder)


def peak_memory() -> int:
    """The most resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class _Commands:
    def __init__(self, way: str, folder: str, texts: str) -> None:
        self.one, self.many = load(way, folder)
        self.texts: dict[str, list[str]] = json.loads(Path(texts).read_bytes())

    def lone(self, name: str, calls: int) -> float:
        texts = itertools.islice(itertools.cycle(self.texts[name]), calls)
        return self._timed(lambda: [self.one(text) for text in texts]) / calls

    def each(self, name: str, seconds: float) -> list[float]:
        times = [time.perf_counter()]
        for text in itertools.cycle(self.texts[name]):
            if times[-1] - times[0] > seconds:
                break
            self.one(text)
            times.append(time.perf_counter())
        return [later - earlier for earlier, later in itertools.pairwise(times)]

    def bulk(self, name: str, batch: int) -> float:
        return self._timed(lambda: self.many(self.texts[name], batch))

    def answers(self, name: str, batch: int, top_k: int = 5) -> list[tuple[list[int], list[float]]]:
        found = self.many(self.texts[name], batch, top_k)
        return [([row["token"] for row in a], [float(row["score"]) for row in a]) for a in found]

    def peak(self) -> int:
        return peak_memory()

    @staticmethod
    def _timed(run: Callable[[], object]) -> float:
        gc.collect()
        start = time.perf_counter()
        run()
        return time.perf_counter() - start


def _main(arguments: Sequence[str]) -> None:
    if arguments[0] == "--once":
        print(load(*arguments[1:3])[0](arguments[3]))
    else:
        commands = _Commands(*arguments)
        for line in sys.stdin:
            name, *rest = json.loads(line)
            print("\n=" + json.dumps(getattr(commands, name)(*rest)), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
