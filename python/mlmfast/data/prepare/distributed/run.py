"""A pass from text to shards in three waves of tasks; the bytes are those of the local pass.

First every unit of text becomes a file of token lists. Their counts give every unit its place:
the numbers of its documents, which choose the split, and where its tokens lie among all. Then the
shards are written, each from the files that reach into it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

from mlmfast.data.prepare.distributed.job import Job
from mlmfast.data.prepare.distributed.sharding import (
    ShardPlan,
    Sizes,
    UnitSplit,
    document_ends,
    plan_documents,
    plan_tokens,
    share_sizes,
    write_part,
)
from mlmfast.data.prepare.distributed.tokenize import Tokenized, Unit, tokenize_unit, units_of
from mlmfast.data.prepare.documents import Counts
from mlmfast.data.prepare.options import PrepareOptions, counted
from mlmfast.data.prepare.package_versions import versions_of
from mlmfast.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from mlmfast.data.prepare.split_writer import SplitWriter
    from mlmfast.data.sources.base import ReadOptions, Source
    from mlmfast.data.tokenization.load import LoadedTokenizer
    from mlmfast.fs.staging import StagingDir

UNIT_BYTES = 64 << 20


class Tasks(Protocol):
    """What runs functions of (job, ...) somewhere."""

    def map(self, function: Callable[..., Any], calls: Iterable[tuple]) -> Generator[Any]:
        """Yield `function(job, *call)` for all calls, in their order."""


@dataclass
class TokenizedUnit:
    """A unit's tokens, and where they belong."""

    tokenized: Tokenized
    first: int
    """Number of its first document."""


class DistributedPass:
    """Takes all documents from the sources to the writers of the splits."""

    def __init__(
        self,
        work: StagingDir,
        sources: list[Source],
        reading: ReadOptions,
        tokenizer: LoadedTokenizer,
        options: PrepareOptions,
    ) -> None:
        """Cut the sources into units.

        Raises:
            InputError: A source is there for this process alone.
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
        """Keep what an earlier run of the same left, or clear it; return how many units that are.

        Args:
            fingerprint: Of all that the store's bytes depend on; None keeps nothing.
        """
        state = {"version": "ray", "checksum": "", "units": UNIT_BYTES, "fingerprint": fingerprint}
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
            self._work.kept = self._kept
        return self._finished()

    def run(
        self, tasks: Tasks, splits: dict[str, SplitWriter], advance: Callable[[int], None]
    ) -> tuple[Counts, str]:
        """Tokenize and write everything.

        Args:
            tasks: Where the work is done.
            splits: Writers of empty stores.
            advance: Called with how many bytes are tokenized.

        Returns:
            What was met, and who encoded it.
        """
        placed = list(self._tokenize(tasks, advance))
        sizes = self._sizes(tasks, placed, list(splits))
        for name, split in splits.items():
            shares = [UnitSplit(one.tokenized.file, one.first, name) for one in placed]
            split.documents = sum(size.documents for size in sizes[name])
            split.text_bytes = sum(size.text_bytes for size in sizes[name])
            split.writer.tokens = sum(size.tokens for size in sizes[name])
            self._write(tasks, split, shares, sizes[name])
        counts = Counts()
        for one in placed:
            for field in fields(Counts):
                met = getattr(counts, field.name) + getattr(one.tokenized.counts, field.name)
                setattr(counts, field.name, met)
        return counts, placed[0].tokenized.engine if placed else ""

    def _tokenize(self, tasks: Tasks, advance: Callable[[int], None]) -> Iterator[TokenizedUnit]:
        limit = self._options.limit
        verify = -(-self._options.verify // max(1, len(self._units)))
        calls = ((unit, limit, verify) for unit in self._units)
        first = done = 0
        with closing(tasks.map(tokenize_unit, calls)) as results:
            for unit in self._units:
                try:
                    found = next(results)
                except NotFoundError:
                    raise
                except InputError:
                    rest = None if limit is None else limit - first
                    found = self._located(tasks, unit, rest, verify)
                if limit is not None and first + found.read > limit:
                    found = self._located(tasks, unit, limit - first, verify)
                yield TokenizedUnit(found, first)
                done += unit.size
                advance(done)
                first += found.read
                if first == limit:
                    return

    def _located(self, tasks: Tasks, unit: Unit, limit: int | None, verify: int) -> Tokenized:
        """Tokenize a unit once more, with the numbers of its lines at hand."""
        call = (unit, limit, verify, True)
        with closing(tasks.map(tokenize_unit, [call])) as results:
            return next(results)

    def _sizes(
        self, tasks: Tasks, placed: list[TokenizedUnit], names: list[str]
    ) -> dict[str, list[Sizes]]:
        if len(names) == 1:
            whole = [one.tokenized for one in placed]
            sizes = [(Sizes(one.documents, one.tokens, one.text_bytes),) for one in whole]
        else:
            calls = [
                (tuple(UnitSplit(one.tokenized.file, one.first, name) for name in names),)
                for one in placed
            ]
            sizes = list(tasks.map(share_sizes, calls))
        return {name: [of_unit[at] for of_unit in sizes] for at, name in enumerate(names)}

    def _write(
        self, tasks: Tasks, split: SplitWriter, shares: list[UnitSplit], sizes: list[Sizes]
    ) -> None:
        folder = split.folder.relative_to(self._work.output)
        calls = [
            (
                str(folder / f"data-{number:05d}.arrow"),
                tuple((shares[part.share], part.start, part.stop) for part in plan.stretches),
                plan.full,
            )
            for number, plan in enumerate(self._plan(split, shares, sizes))
        ]
        for written in tasks.map(write_part, calls):
            split.writer.add_shard(written)

    def _plan(
        self, split: SplitWriter, shares: list[UnitSplit], sizes: list[Sizes]
    ) -> list[ShardPlan]:
        tokens = [size.tokens for size in sizes]
        if self._options.packing == "concat":
            return plan_tokens(tokens, split.writer.shard_tokens)
        return plan_documents(
            [size.documents for size in sizes],
            tokens,
            lambda share: document_ends(self.job, shares[share]),
            split.writer.shard_tokens,
        )

    def _finished(self) -> int:
        return len(list(self.job.tokens.glob("*.json")))

    def _kept(self) -> str | None:
        finished = self._finished()
        if not finished:
            return None
        return (
            f"{counted(finished, 'finished part')} {'is' if finished == 1 else 'are'} kept in "
            f"{str(self._work.root)!r}: the same command goes on from there, and begins "
            "anew with --no-resume; delete the folder to drop it."
        )
