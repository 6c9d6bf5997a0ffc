"""The options of tokenizing that commands show in their help."""

from __future__ import annotations

ENGINES = ("auto", "library")
"""What encodes: the core wherever it is exact, or the `tokenizers` library alone."""
