"""P4, end to end: JSON lines to blocks on disk, beside the guide's recipe and run_mlm.py's."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import harness
from alone import measure
from recipes import BLOCK, chain_form, sum_form
from tokenize_input import english, families

import mlmfast

OURS_BYTES, GUIDE_BYTES, SCRIPT_BYTES = 48_000_000, 2_000_000, 6_000_000
"""How much text each gets: the slowest takes seconds all the same."""
COMMAND_TIMES = 6
"""How often the command as a whole gets our text, in one file: as much as a small corpus."""


COMMAND = "`mlmfast prepare` as a command, from start to end"


@dataclass(frozen=True)
class Input:
    """The files of one amount of text.

    Attributes:
        plain: JSON lines.
        packed: The same, in gzip's form.
        size: Bytes of the texts themselves, in UTF-8.
    """

    plain: Path
    packed: Path
    size: int


def write(folder: Path, size: int) -> Input:
    """Write paragraphs of about so many bytes, one a line, unless they are there already."""
    paragraphs = english(size)
    plain, packed = folder / f"text-{size}.jsonl", folder / f"text-{size}.jsonl.gz"
    found = Input(plain, packed, sum(len(text.encode()) for text in paragraphs))
    if packed.exists():
        return found
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in paragraphs]
    content = "".join(lines).encode()
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content, 6))
    return found


def over_and_over(folder: Path, once: Input, times: int) -> Input:
    """Write the same lines several times, unless they are there already; nothing is packed."""
    plain = folder / f"text-{times}x{once.size}.jsonl"
    if not plain.exists():
        plain.write_bytes(once.plain.read_bytes() * times)
    return Input(plain, plain, once.size * times)


def in_map(
    tokenizer: Path,
    file: Path,
    group: Callable[[dict], dict],
    *,
    processes: int | None,
    **options: Any,
) -> None:
    """Tokenize and group in two passes of `datasets.map`, into files of a cache of its own."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()  # texts longer than the model takes are no news
    tok = transformers.AutoTokenizer.from_pretrained(str(tokenizer))

    def tokenized(examples: dict) -> dict:
        return tok(examples["text"], **options)

    with tempfile.TemporaryDirectory() as cache:
        data = datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=cache)
        data = data.map(tokenized, batched=True, num_proc=processes, remove_columns=["text"])
        data.map(group, batched=True, num_proc=processes)


def unpack(file: Path) -> None:
    """Decompress as `prepare` does, and keep nothing: what a packed file costs at least."""
    from mlmfast.data.sources.byte_streams.streams import ByteStream

    with ByteStream(str(file)) as stream:
        while stream.read(1 << 22):
            pass


def prepare(tokenizer: Path, file: Path, threads: int | None) -> None:
    """A block store."""
    with tempfile.TemporaryDirectory() as folder:
        mlmfast.prepare(
            file, Path(folder) / "blocks", tokenizer=tokenizer, block_size=BLOCK, threads=threads
        )


def command(tokenizer: Path, file: Path) -> None:
    """`mlmfast prepare`, from the start of Python to its end."""
    with tempfile.TemporaryDirectory() as folder:
        given = ["--tokenizer", str(tokenizer), "--block-size", str(BLOCK), "--output"]
        start = [sys.executable, "-m", "mlmfast", "prepare", str(file)]
        subprocess.run(
            [*start, *given, str(Path(folder) / "blocks")], check=True, capture_output=True
        )


def contenders(folder: Path, tokenizer: Path) -> list[harness.Contender]:
    """The ways from text to blocks."""
    ours, guide, script = (write(folder, size) for size in (OURS_BYTES, GUIDE_BYTES, SCRIPT_BYTES))
    whole = over_and_over(folder, ours, COMMAND_TIMES)
    recipe, store = partial(in_map, tokenizer), partial(prepare, tokenizer)
    return [
        harness.Contender(
            "the guide's recipe in `datasets.map`, 1 process",
            guide.size,
            partial(recipe, guide.plain, sum_form, processes=None),
        ),
        harness.Contender(
            "run_mlm.py's in `datasets.map`, 2 processes",
            script.size,
            partial(recipe, script.plain, chain_form, processes=2, return_special_tokens_mask=True),
        ),
        harness.Contender(
            "mlmfast prepare, 1 thread", ours.size, partial(store, ours.plain, 1), ours=True
        ),
        harness.Contender(
            "mlmfast prepare", ours.size, partial(store, ours.plain, None), ours=True
        ),
        harness.Contender("unpacking the .gz alone", ours.size, partial(unpack, ours.packed)),
        harness.Contender(
            "mlmfast prepare, .gz", ours.size, partial(store, ours.packed, None), ours=True
        ),
        harness.Contender(COMMAND, whole.size, partial(command, tokenizer, whole.plain), ours=True),
    ]


def alone(
    label: str, folder: str, tokenizer: str
) -> tuple[Callable[[], object], Callable[[], object]]:
    """One contender's call, twice: the first wakes what loads late."""
    run = harness.named(label, contenders(Path(folder), Path(tokenizer))).run
    return run, run


def main() -> list[str]:
    """Run the measurements; the lines of the report."""
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        family = next(f for f in families(folder) if f.kind == "byte-level BPE")
        tokenizer = family.file.parent
        ways = contenders(folder, tokenizer)
        seconds = harness.measure(ways)
        peaks = {
            way.label: measure("bench_prepare", way.label, name, str(tokenizer)).peak
            for way in ways
            if "2 processes" not in way.label and way.label != COMMAND
        }
    title = (
        f"## P4 end to end: JSON lines to blocks of {BLOCK} on disk (`benches/bench_prepare.py`)"
    )
    note = (
        f"Paragraphs of English, tokenized with {family.name} ({family.kind}): "
        f"{', '.join(harness.megabytes(w.work) for w in (ways[0], ways[1], ways[-2]))} of text for "
        "the guide's recipe, run_mlm.py's and ours. The tokenizer is loaded and data sets are "
        f"written to disk in every call. The command gets {COMMAND_TIMES} times ours in one file, "
        f"{harness.megabytes(ways[-1].work)}, and its time is that of a process from its start to "
        f"its end. {harness.PEAK_NOTE} That of worker processes was not measured."
    )
    return [title, "", note, "", *harness.table(ways, seconds, "B", peaks)]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main()))
