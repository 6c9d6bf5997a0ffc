"""What every task of a distributed run knows, on whichever node it runs."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlmfast.data.prepare.package_versions import versions_of
from mlmfast.errors import InputError
from mlmfast.fs.checksums import sync_file, sync_folder

if TYPE_CHECKING:
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.sources.base import ReadOptions
    from mlmfast.data.tokenization.load import LoadedTokenizer


@dataclass(frozen=True)
class Job:
    """A run of `prepare`, as its tasks get it."""

    reading: ReadOptions
    options: PrepareOptions
    """Without the tokenizer, which is `tokenizer`."""
    tokenizer: LoadedTokenizer
    tokens: Path
    """The folder of the units' tokens; absolute."""
    output: Path
    """The folder in which the store is written; absolute."""
    versions: dict[str, str]
    """Versions of the packages that the tokens depend on, on the node that started the run."""

    @property
    def threads(self) -> int:
        """Threads of each task."""
        return self.options.threads or 1

    def check_here(self) -> None:
        """Raise InputError if this node cannot run tasks of the job."""
        here = socket.gethostname()
        for package, version in versions_of(self.tokenizer).items():
            if version != self.versions[package]:
                raise InputError(
                    f"The node {here} has {package} {version}, and the one that began the run has "
                    f"{self.versions[package]}: the tokens could differ. Install one version on "
                    "all nodes."
                )
        if not self.tokens.is_dir():
            raise InputError(
                f"The node {here} does not see the folder {str(self.tokens.parent.parent)!r}: "
                "with --engine ray, the output must lie on a path that all nodes share."
            )


class Tasks(Protocol):
    """Runs functions of (job, ...) somewhere."""

    def map(self, function: Callable[..., Any], calls: Iterable[tuple]) -> Generator[Any]:
        """Yield `function(job, *call)` for all calls, in their order."""


@contextmanager
def atomic_file(path: Path, scratch: Path) -> Iterator[Path]:
    """Yield a path of the same name to write; the file appears at `path` once it is synced.

    Two attempts at one task may write it at the same time; both write the same bytes. A killed
    attempt leaves its file in `scratch`, a folder on the same disk.
    """
    folder = scratch / f"writing-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder / path.name
        if (folder / path.name).exists():
            sync_file(folder / path.name)
            (folder / path.name).replace(path)
            sync_folder(path.parent)
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
