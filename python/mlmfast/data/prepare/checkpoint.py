"""How far a run of `prepare` has come, on disk, so that the next one can go on from there."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.prepare.dedup import SEEN_FILE, check_seen
from mlmfast.data.prepare.documents import Counts, Cursor, as_mark
from mlmfast.data.prepare.package_versions import versions_of
from mlmfast.data.prepare.shuffle import Spilled
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import FileStamp, checksum_of, sync_file, sync_folder

if TYPE_CHECKING:
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.prepare.split_writer import SplitWriter
    from mlmfast.data.sources.base import Source
    from mlmfast.data.tokenization.load import LoadedTokenizer
    from mlmfast.fs.staging import StagingDir

# These change how a run goes, not what it writes.
_FREE = {"tokenizer", "engine", "threads", "progress", "overwrite", "resume"}
_VERSION = 2


def fingerprint(
    sources: list[Source], tokenizer: LoadedTokenizer, options: PrepareOptions
) -> dict[str, Any] | None:
    """Tell everything that the store's bytes depend on; None where an input cannot be read again.

    Returns:
        What JSON can hold, flat but for `inputs`, a list with an entry for each source.
    """
    inputs = [source.fingerprint() for source in sources]
    if None in inputs:
        return None
    digest = hashlib.sha256(tokenizer.name.encode())
    for name, content in sorted(tokenizer.files.items()):
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    found = {
        **{
            option.name: getattr(options, option.name)
            for option in fields(options)
            if option.name not in _FREE
        },
        "tokenizer": digest.hexdigest(),
        **{f"version of {package}": version for package, version in versions_of(tokenizer).items()},
        "inputs": inputs,
    }
    return json.loads(json.dumps(found))


@dataclass
class Checkpoint:
    """What a run that was cut off had done."""

    mark: Cursor | None
    """Where to begin; None where the documents were shuffled, and no more."""
    counts: Counts
    """Of the documents, where they were shuffled."""
    splits: dict[str, Any]
    """What each split's writer needs."""
    spilled: Spilled | None
    """Where the documents are shuffled: the files in which they wait."""

    @property
    def shards(self) -> int:
        """Finished files of all splits."""
        return sum(len(split["writer"]["shards"]) for split in self.splits.values())


class CheckpointFile:
    """Keeps the state of a run in its workplace."""

    def __init__(self, work: StagingDir, found: dict[str, Any] | None) -> None:
        """Keep it in `work`; with no fingerprint `found` nothing is kept."""
        self._work = work
        self._found = found
        self._saves = 0
        self.shards = 0
        """Finished files that the file on disk tells of."""

    def save(
        self,
        mark: Cursor | None,
        counts: Counts,
        splits: dict[str, SplitWriter],
        spilled: Spilled | None = None,
    ) -> None:
        """Write down that everything before `mark` is done.

        Every file that the state names has its size and checksum there, and is on the disk before
        the state is: the shards since they were written, as `spilled` is; the others here.
        """
        if self._found is None:
            return
        self._saves += 1
        states = {name: split.state() for name, split in splits.items()}
        for name, split in splits.items():
            path = self._work.root / f"pending-{name}-{self._saves:08d}.arrow"
            _write_column(path, split.writer.pending)
            sync_file(path)
            states[name]["pending"] = asdict(FileStamp.of(path))
            sync_folder(split.folder)
        if (self._work.root / SEEN_FILE).exists():
            sync_file(self._work.root / SEEN_FILE)
        content = {
            "version": _VERSION,
            "fingerprint": self._found,
            "mark": None if mark is None else asdict(mark),
            "counts": asdict(counts),
            "splits": states,
            "spilled": None if spilled is None else asdict(spilled),
        }
        text = json.dumps({**content, "checksum": checksum_of(content)})
        new = self._work.state.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._work.root)
        new.replace(self._work.state)
        sync_folder(self._work.root)
        self._sweep({state["pending"]["file"] for state in states.values()})
        self.shards = sum(split.writer.shards for split in splits.values())

    def load(self) -> tuple[Checkpoint | None, str | None]:
        """Return what can be gone on with, or None; and why nothing can, where that is news."""
        path = self._work.state
        if not path.exists():
            return None, None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["version"] != _VERSION or content["checksum"] != checksum_of(content):
                return None, "its state file is damaged or of another version"
            mark = None if content["mark"] is None else as_mark(content["mark"])
            spilled = content["spilled"] and Spilled.from_json(content["spilled"])
            progress = Checkpoint(mark, Counts(**content["counts"]), content["splits"], spilled)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return None, f"its state file cannot be read ({error})"
        if self._found is None:
            return None, "this run's input cannot be read a second time"
        return self._same(content["fingerprint"], progress)

    def restore(self, progress: Checkpoint, splits: dict[str, SplitWriter]) -> None:
        """Bring the writers where they were.

        Raises:
            StoreError: A file is not what was written.
        """
        for name, state in progress.splits.items():
            stamp = FileStamp(**state["pending"])
            path = self._work.root / stamp.file
            if not stamp.matches(self._work.root):
                raise StoreError(f"{str(path)!r} is not what was written.")
            splits[name].restore(state, _read_column(path))
            self._saves = max(self._saves, int(path.stem.rsplit("-", 1)[1]))
        if progress.mark is not None and progress.mark.seen is not None:
            check_seen(self._work.root / SEEN_FILE, progress.mark.seen)
        self.shards = progress.shards

    def _same(
        self, then: dict[str, Any], progress: Checkpoint
    ) -> tuple[Checkpoint | None, str | None]:
        now = dict(self._found or {})
        then = dict(then)
        new_inputs, old_inputs = now.pop("inputs"), then.pop("inputs")
        for name in {**then, **now}:
            was, is_ = then.get(name), now.get(name)
            if was != is_:
                shown = "" if name == "tokenizer" else f" (it was {was!r}, and now is {is_!r})"
                return None, f"{name} is another one{shown}"
        if progress.mark is None or now["shuffle_documents"]:
            needed = max(len(new_inputs), len(old_inputs))
        else:
            needed = progress.mark.source + 1  # what comes after it was not read yet
        for number in range(needed):
            old = old_inputs[number] if number < len(old_inputs) else None
            new = new_inputs[number] if number < len(new_inputs) else None
            if old != new:
                changed = old or new or {}
                return None, f"the input {changed.get('name')!r} has changed"
        return progress, None

    def _sweep(self, wanted: set[str]) -> None:
        for path in self._work.root.glob("pending-*.arrow"):
            if path.name not in wanted:
                path.unlink()


def _write_column(path: Path, column: pa.ChunkedArray) -> None:
    schema = pa.schema([("tokens", column.type)])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.table([column], schema=schema))


def _read_column(path: Path) -> pa.ChunkedArray:
    with pa.OSFile(str(path), "rb") as source:
        return pa.ipc.open_stream(source).read_all().column(0)
