"""From text to shards in three stages of tasks; the bytes are those of a local run.

First every unit of text becomes a file of token lists. Prefix sums of their counts then give the
numbers of each unit's documents, which decide the split, and the position of its tokens. Duplicates
are found and documents shuffled in waves of their own. Last, the shards are written, each from the
files of the units that it holds tokens of.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare.distributed.duplicates import drop_duplicates
from mlmfast.data.prepare.distributed.job import Job, Tasks
from mlmfast.data.prepare.distributed.near_duplicates import drop_near_duplicates
from mlmfast.data.prepare.distributed.sharding import (
    ShardPlan,
    Sizes,
    UnitSplit,
    document_ends,
    plan_documents,
    plan_tokens,
    split_sizes,
    write_part,
)
from mlmfast.data.prepare.distributed.shuffling import buckets_for, gather_bucket, sort_unit
from mlmfast.data.prepare.distributed.tokenize import tokenize_unit
from mlmfast.data.prepare.distributed.units import Tokenized, TokenizedUnit, Unit, units_of
from mlmfast.data.prepare.near.keys import check_count
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.package_versions import versions_of
from mlmfast.data.prepare.reading.documents import Counts
from mlmfast.data.prepare.report import counted
from mlmfast.data.prepare.split import HoldOut
from mlmfast.data.tokenization.load import id_dtype
from mlmfast.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from mlmfast.data.prepare.distributed.duplicates import Dropped
    from mlmfast.data.prepare.split_writer import SplitWriter
    from mlmfast.data.sources.base import ReadOptions, Source
    from mlmfast.data.tokenization.load import LoadedTokenizer
    from mlmfast.fs.staging import StagingDir

UNIT_BYTES = 64 << 20


class DistributedPass:
    """Tokenizes all documents of the sources and writes the splits, in tasks."""

    def __init__(
        self,
        work: StagingDir,
        sources: list[Source],
        reading: ReadOptions,
        tokenizer: LoadedTokenizer,
        options: PrepareOptions,
    ) -> None:
        """Divide the sources into units.

        Raises:
            InputError: A source can be read by this process only.
        """
        self._work = work
        self._options = options
        self._units = units_of(sources, UNIT_BYTES, reading)
        root = work.root.absolute()
        self.job = Job(
            reading,
            replace(options, tokenizer=None),
            tokenizer,
            root / "tokens",
            root / "output",
            versions_of(tokenizer),
        )

    @property
    def size(self) -> int:
        """About how many bytes there are to read."""
        return sum(unit.size for unit in self._units)

    def begin(self, fingerprint: dict[str, Any] | None) -> int:
        """Keep the finished units of an earlier run, or remove them; return how many are kept.

        Args:
            fingerprint: Describes everything that the bytes of the store depend on; None keeps
                nothing.
        """
        state = {
            "version": "ray 2",
            "checksum": "",
            "units": UNIT_BYTES,
            "fingerprint": fingerprint,
        }
        text = json.dumps(state).encode()
        path = self._work.state
        same = path.exists() and path.read_bytes() == text
        if fingerprint is not None and self._options.resume and same:
            shutil.rmtree(self._work.output, ignore_errors=True)
            self._work.output.mkdir()
        else:
            self._work.clear()
            path.write_bytes(text)
        self._work.claimed = True
        self.job.tokens.mkdir(exist_ok=True)
        if fingerprint is not None:
            self._work.kept = self._describe_kept
        return self._finished()

    def run(
        self, tasks: Tasks, splits: dict[str, SplitWriter], advance: Callable[[int], None]
    ) -> tuple[Counts, str]:
        """Tokenize and write everything.

        Args:
            tasks: Runs the tasks.
            splits: Writers of empty stores.
            advance: Called with the number of bytes tokenized so far.

        Returns:
            The counts of the documents, and the engine that encoded them.
        """
        units = list(self._tokenize(tasks, advance))
        hold_out = HoldOut.of(self._options, sum(unit.tokenized.read for unit in units))
        wholes, found = self._arranged(tasks, units, hold_out)
        sizes = self._sizes(tasks, wholes, list(splits), found)
        for name, split in splits.items():
            parts = [replace(whole, split=name) for whole in wholes]
            split.documents = sum(size.documents for size in sizes[name])
            split.text_bytes = sum(size.text_bytes for size in sizes[name])
            split.writer.tokens = sum(size.tokens for size in sizes[name])
            self._write(tasks, split, parts, sizes[name])
        counts = Counts()
        for unit in units:
            counts += unit.tokenized.counts
        kept = sum(size.documents for of_split in sizes.values() for size in of_split)
        counts.duplicates += sum(unit.tokenized.documents for unit in units) - kept
        return counts, units[0].tokenized.engine if units else ""

    def _tokenize(self, tasks: Tasks, advance: Callable[[int], None]) -> Iterator[TokenizedUnit]:
        limit = self._options.limit
        verify = -(-self._options.verify // max(1, len(self._units)))
        calls = ((unit, limit, verify) for unit in self._units)
        first = done = 0
        with closing(tasks.map(tokenize_unit, calls)) as results:
            for unit in self._units:
                try:
                    result = next(results)
                except NotFoundError:
                    raise
                except InputError:
                    rest = None if limit is None else limit - first
                    result = self._tokenize_located(tasks, unit, rest, verify)
                if limit is not None and first + result.read > limit:
                    result = self._tokenize_located(tasks, unit, limit - first, verify)
                yield TokenizedUnit(result, first)
                done += unit.size
                advance(done)
                first += result.read
                if self._options.deduplicate == "near":
                    check_count(first)
                if first == limit:
                    return

    def _tokenize_located(
        self, tasks: Tasks, unit: Unit, limit: int | None, verify: int
    ) -> Tokenized:
        """Tokenize a unit again, with errors that name the lines of the file."""
        call = (unit, limit, verify, True)
        with closing(tasks.map(tokenize_unit, [call])) as results:
            return next(results)

    def _arranged(
        self, tasks: Tasks, units: list[TokenizedUnit], hold_out: HoldOut | None
    ) -> tuple[list[UnitSplit], list[Sizes] | None]:
        """Leave out duplicates and shuffle, where that is wanted.

        Returns:
            The files that hold the documents of the store, in their order; and their sizes, None if
            they are unknown.
        """
        results = [unit.tokenized for unit in units]
        wholes = [UnitSplit(unit.tokenized.file, unit.first, "train", hold_out) for unit in units]
        sizes: list[Sizes] | None = [
            Sizes(one.documents, one.tokens, one.text_bytes) for one in results
        ]
        if self._options.deduplicate is not None:
            near = self._options.deduplicate == "near"
            find = drop_near_duplicates if near else drop_duplicates
            dropped: Sequence[Dropped] | None = find(tasks, units)
            if dropped is not None:
                sizes = None
                wholes = [
                    replace(whole, dropped=one) for whole, one in zip(wholes, dropped, strict=True)
                ]
        if not self._options.shuffle_documents:
            return wholes, sizes
        width = id_dtype(self.job.tokenizer.id_bound).itemsize
        count = buckets_for(sum(one.tokens for one in results) * width)
        sorted_files = tuple(tasks.map(sort_unit, [(whole,) for whole in wholes]))
        numbers = [(sorted_files, bucket, count) for bucket in range(count)]
        buckets = [each for each in tasks.map(gather_bucket, numbers) if each is not None]
        # Their documents have the numbers of the whole input.
        wholes = [UnitSplit(bucket.file, 0, "train", hold_out) for bucket in buckets]
        return wholes, [bucket.sizes for bucket in buckets]

    def _sizes(
        self,
        tasks: Tasks,
        wholes: list[UnitSplit],
        names: list[str],
        known: list[Sizes] | None,
    ) -> dict[str, list[Sizes]]:
        if len(names) == 1 and known is not None:
            sizes = [(size,) for size in known]
        else:
            calls = [(tuple(replace(whole, split=name) for name in names),) for whole in wholes]
            sizes = list(tasks.map(split_sizes, calls))
        return {name: [of_unit[at] for of_unit in sizes] for at, name in enumerate(names)}

    def _write(
        self, tasks: Tasks, split: SplitWriter, parts: list[UnitSplit], sizes: list[Sizes]
    ) -> None:
        folder = split.folder.relative_to(self._work.output)
        calls = [
            (
                str(folder / f"data-{number:05d}.arrow"),
                tuple((parts[one.unit], one.start, one.stop) for one in plan.slices),
                plan.full,
            )
            for number, plan in enumerate(self._plan(split, parts, sizes))
        ]
        for written in tasks.map(write_part, calls):
            split.writer.add_shard(written)

    def _plan(
        self, split: SplitWriter, parts: list[UnitSplit], sizes: list[Sizes]
    ) -> list[ShardPlan]:
        tokens = [size.tokens for size in sizes]
        if self._options.packing == "concat":
            return plan_tokens(tokens, split.writer.shard_tokens)
        return plan_documents(
            [size.documents for size in sizes],
            tokens,
            lambda unit: document_ends(self.job, parts[unit]),
            split.writer.shard_tokens,
        )

    def _finished(self) -> int:
        return len(list(self.job.tokens.glob("*.json")))

    def _describe_kept(self) -> str | None:
        finished = self._finished()
        if not finished:
            return None
        return (
            f"{counted(finished, 'finished part')} {'is' if finished == 1 else 'are'} kept in "
            f"{str(self._work.root)!r}: the same command resumes from there, and starts over with "
            "--no-resume; delete the folder to discard it."
        )
