"""Where things lie: the repository, the tests, and the data beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SUPPORT = TESTS / "support"
GOLDEN = TESTS / "golden"
ROOT = TESTS.parent
# Texts and tokenizers too large for the repository. What needs them is skipped without them, and
# the last lines of a run say how many tests that were.
SHARED = Path(os.environ.get("MLMFAST_SHARED_DATA", ROOT.parent / "shared" / "data"))
SHARED_MISSING = "../shared/data is not there"


def shared(*parts: str) -> Path:
    """Return a path of that data, or skip the test that needs it."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{SHARED_MISSING}: {'/'.join(parts)}")
    return path
