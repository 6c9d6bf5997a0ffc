"""The progress of the search for near-duplicates, as the checkpoint of a run holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlmfast.data.prepare.reading.documents import Cursor
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import FileStamp


@dataclass(frozen=True)
class NearState:
    """What is known after a part of the search."""

    cursor: Cursor | None = field(default_factory=Cursor)
    """The documents before it have their keys in `segments`; None if that is all of them."""
    documents: int = 0
    """How many there are before the cursor, including those left out."""
    segments: tuple[FileStamp, ...] = ()
    duplicates: FileStamp | None = None
    """The numbers of the near-duplicates, once they are known; then `segments` is empty."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> NearState:
        """Undo `dataclasses.asdict`."""
        cursor, duplicates = content["cursor"], content["duplicates"]
        return cls(
            None if cursor is None else Cursor(**cursor),
            content["documents"],
            tuple(FileStamp(**file) for file in content["segments"]),
            None if duplicates is None else FileStamp(**duplicates),
        )

    def check(self, folder: Path) -> None:
        """Raise StoreError unless the files of this state are in `folder` as they were written."""
        files = (*self.segments, *(() if self.duplicates is None else (self.duplicates,)))
        for stamp in files:
            if not stamp.matches(folder):
                raise StoreError(f"{str(folder / stamp.file)!r} is not what was written.")
