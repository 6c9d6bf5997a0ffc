"""What a comparison of a block store with its manifest found: `VerifyReport`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class VerifyReport:
    """What `verify` found in a store, or in its splits."""

    path: str | Path
    blocks: dict[str, int] = field(default_factory=dict)
    """Blocks of each split."""
    files: int = 0
    bytes: int = 0
    """Bytes of the shards, all of which were read."""
    damage: list[str] = field(default_factory=list)
    """A sentence for each file that differs from what was written."""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the report in values that JSON can hold."""
        return {
            **vars(self),
            "path": str(self.path),
            "whole": not self.damage,
            "seconds": round(self.seconds, 3),
        }
