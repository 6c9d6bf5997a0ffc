"""The checkpoint of a `prepare` run on disk, from which the same command resumes."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.prepare.near.state import NearState
from mlmfast.data.prepare.package_versions import versions_of
from mlmfast.data.prepare.reading.dedup import SEEN_FILE, check_seen
from mlmfast.data.prepare.reading.documents import Counts, Cursor
from mlmfast.data.prepare.shuffle import Spilled
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import FileStamp, checksum_of, sync_file, sync_folder

if TYPE_CHECKING:
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.prepare.split_writer import SplitWriter
    from mlmfast.data.sources.base import Source
    from mlmfast.data.tokenization.load import LoadedTokenizer
    from mlmfast.fs.staging import StagingDir

# Options that do not change what a run writes.
_NOT_IN_FINGERPRINT = {"tokenizer", "engine", "threads", "progress", "overwrite", "resume"}
_VERSION = 6
NEAR_FOLDER = "near"
"""Name of the folder of the search for near-duplicates in the folder of a run."""


def run_fingerprint(
    sources: list[Source], tokenizer: LoadedTokenizer, options: PrepareOptions
) -> dict[str, Any] | None:
    """Describe everything that the bytes of the store depend on.

    Returns:
        A mapping that JSON can hold, flat except for `inputs`, a list with an entry for each
        source; None if an input cannot be read a second time.
    """
    inputs = [source.fingerprint() for source in sources]
    if None in inputs:
        return None
    digest = hashlib.sha256(tokenizer.name.encode())
    for name, content in sorted(tokenizer.files.items()):
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    described = {
        **{
            option.name: getattr(options, option.name)
            for option in fields(options)
            if option.name not in _NOT_IN_FINGERPRINT
        },
        "tokenizer": digest.hexdigest(),
        **{f"version of {package}": version for package, version in versions_of(tokenizer).items()},
        "inputs": inputs,
    }
    return json.loads(json.dumps(described))


@dataclass
class Checkpoint:
    """The progress of an interrupted run."""

    cursor: Cursor | None
    """Where to begin; None if the documents have been shuffled and none is written."""
    counts: Counts
    """Counts of the documents, where they are shuffled."""
    splits: dict[str, Any]
    """The state of each split's writer."""
    spilled: Spilled | None
    """The buckets of the shuffled documents, where they are shuffled."""
    near: NearState | None = None
    """How far the search for near-duplicates went."""

    @property
    def shards(self) -> int:
        """Finished shards of all splits."""
        return sum(len(split["writer"]["shards"]) for split in self.splits.values())


class CheckpointFile:
    """Keeps the checkpoint of a run in its staging folder."""

    def __init__(self, work: StagingDir, fingerprint: dict[str, Any] | None) -> None:
        """Keep it in `work`; without a fingerprint of the run nothing is kept."""
        self._work = work
        self._fingerprint = fingerprint
        self._saves = 0
        self.shards = 0
        """Finished shards in the checkpoint on disk."""
        self.near: NearState | None = None
        """The search for near-duplicates, which each save records."""

    def save(
        self,
        cursor: Cursor | None,
        counts: Counts,
        splits: dict[str, SplitWriter],
        spilled: Spilled | None = None,
    ) -> None:
        """Record that everything before `cursor` is done.

        The checkpoint names every file with its size and checksum, and each is synced to disk
        before the checkpoint is: the shards and `spilled` when they were written, the others here.
        """
        if self._fingerprint is None:
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
            "fingerprint": self._fingerprint,
            "mark": None if cursor is None else asdict(cursor),
            "counts": asdict(counts),
            "splits": states,
            "spilled": None if spilled is None else asdict(spilled),
            "near": None if self.near is None else asdict(self.near),
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
        self._remove_pending_except({state["pending"]["file"] for state in states.values()})
        self.shards = sum(split.writer.shards for split in splits.values())

    def save_near(self, near: NearState, splits: dict[str, SplitWriter]) -> None:
        """Record how far the search for near-duplicates went, before anything is tokenized."""
        if self._fingerprint is not None:
            self.near = near
            self.save(None, Counts(), splits)

    def load(self) -> tuple[Checkpoint | None, str | None]:
        """Return the checkpoint to resume from, or None and why one that exists is not used."""
        path = self._work.state
        if not path.exists():
            return None, None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["version"] != _VERSION or content["checksum"] != checksum_of(content):
                return None, "its state file is damaged or of another version"
            cursor = None if content["mark"] is None else Cursor(**content["mark"])
            spilled = content["spilled"] and Spilled.from_json(content["spilled"])
            near = content["near"] and NearState.from_json(content["near"])
            counts = Counts(**content["counts"])
            checkpoint = Checkpoint(cursor, counts, content["splits"], spilled, near)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return None, f"its state file cannot be read ({error})"
        if self._fingerprint is None:
            return None, "this run's input cannot be read a second time"
        return self._same(content["fingerprint"], checkpoint)

    def restore(self, checkpoint: Checkpoint, splits: dict[str, SplitWriter]) -> None:
        """Restore the writers of the splits.

        Raises:
            StoreError: A file is not what was written.
        """
        for name, state in checkpoint.splits.items():
            stamp = FileStamp(**state["pending"])
            path = self._work.root / stamp.file
            if not stamp.matches(self._work.root):
                raise StoreError(f"{str(path)!r} is not what was written.")
            splits[name].restore(state, _read_column(path))
            self._saves = max(self._saves, int(path.stem.rsplit("-", 1)[1]))
        if checkpoint.cursor is not None and checkpoint.cursor.seen is not None:
            check_seen(self._work.root / SEEN_FILE, checkpoint.cursor.seen)
        if checkpoint.near is not None:
            checkpoint.near.check(self._work.root / NEAR_FOLDER)
            self.near = checkpoint.near
        self.shards = checkpoint.shards

    def _same(
        self, then: dict[str, Any], checkpoint: Checkpoint
    ) -> tuple[Checkpoint | None, str | None]:
        now = dict(self._fingerprint or {})
        then = dict(then)
        new_inputs, old_inputs = now.pop("inputs"), then.pop("inputs")
        for name in {**then, **now}:
            was, is_ = then.get(name), now.get(name)
            if was != is_:
                values = "" if name == "tokenizer" else f" from {was!r} to {is_!r}"
                return None, f"{name} has changed{values}"
        all_read = now["shuffle_documents"] or now["deduplicate"] == "near"
        if checkpoint.cursor is None or all_read:
            needed = max(len(new_inputs), len(old_inputs))
        else:
            needed = checkpoint.cursor.source + 1  # the sources after it have not been read
        for number in range(needed):
            old = old_inputs[number] if number < len(old_inputs) else None
            new = new_inputs[number] if number < len(new_inputs) else None
            if old != new:
                changed = old or new or {}
                return None, f"the input {changed.get('name')!r} has changed"
        return checkpoint, None

    def _remove_pending_except(self, kept: set[str]) -> None:
        for path in self._work.root.glob("pending-*.arrow"):
            if path.name not in kept:
                path.unlink()


def _write_column(path: Path, column: pa.ChunkedArray) -> None:
    schema = pa.schema([("tokens", column.type)])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.table([column], schema=schema))


def _read_column(path: Path) -> pa.ChunkedArray:
    with pa.OSFile(str(path), "rb") as source:
        return pa.ipc.open_stream(source).read_all().column(0)
