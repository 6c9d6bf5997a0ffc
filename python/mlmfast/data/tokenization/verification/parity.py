"""Verify that the core gives exactly the ids of the installed `tokenizers` library.

Versions of `tokenizers` differ in their Unicode tables, so each tokenizer is verified with the
installed version. Both encode every assigned code point, in several contexts; code points whose ids
differ fall back to the library from then on. Then both encode a corpus of hard texts; if any of
their ids differ, the core is not used for this tokenizer. Code points that Python's Unicode tables
do not know, and those for private use, always fall back to the library. The outcome is cached in
the user's cache folder, keyed by tokenizer and versions.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import sys
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast import _core
from mlmfast.data.tokenization.verification.code_points import (
    differing_code_points,
    unknown_code_points,
)
from mlmfast.data.tokenization.verification.comparing import differing_texts
from mlmfast.data.tokenization.verification.edges.pipeline import pipeline_texts
from mlmfast.errors import InputError, is_panic
from mlmfast.fs.atomic import write_atomic
from mlmfast.fs.cache import cache_dir, digest
from mlmfast.fs.checksums import checksum_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer


logger = logging.getLogger(__name__)

# With more differing code points than this, the cause is not a mere difference in Unicode versions.
_MAX_DIFFERING = 5000
# Characters of a text that a reason shows.
_SHOWN = 200


@dataclass(frozen=True)
class Unsupported:
    """Why the core cannot be used for a tokenizer."""

    reason: str
    unexpected: bool = False
    """The core supports this kind of tokenizer, but its ids differ from the library's."""

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason


@dataclass(frozen=True)
class Verified:
    """The outcome of a verification."""

    core: _core.Encoder | Unsupported
    """The encoder, or the reason why there is none."""
    differing: list[int] = field(default_factory=list)
    """Code points that are encoded differently, and are therefore left to the library."""
    texts: int = 0
    """How many hard texts were compared."""
    mismatches: list[str] = field(default_factory=list)
    """Those whose ids differ."""
    fallback_ranges: list[tuple[int, int]] = field(default_factory=list)
    """All code points that are left to the library, as ranges (first, one past the last)."""


def verified_encoder(tokenizer: Tokenizer) -> _core.Encoder | Unsupported:
    """Return the core's verified encoder for `tokenizer`, or the reason why there is none."""
    text = _effective_json(tokenizer)
    cached = _cache_file(text)
    fallback_ranges = _read(cached)
    if fallback_ranges is not None:
        return _build_core(text, fallback_ranges)
    logger.info(
        "This tokenizer is new here: its ids are compared with those of the tokenizers library, "
        "once, for some seconds.",
        extra={"waiting": True},
    )
    found = verify(tokenizer)
    if not isinstance(found.core, Unsupported):
        _write(cached, {"differing": found.differing, "fallback_ranges": found.fallback_ranges})
    return found.core


def verify(tokenizer: Tokenizer, content: str | None = None) -> Verified:
    """Compare the core with the library at length, whatever the cache says.

    Args:
        tokenizer: The library's tokenizer.
        content: The tokenizer.json that the core reads; None for that of `tokenizer`.
    """
    text = _effective_json(tokenizer) if content is None else content
    ranges = unknown_code_points()
    core = _build_core(text, ranges)
    if isinstance(core, Unsupported):
        return Verified(core)
    try:
        differing = differing_code_points(tokenizer, core)
        if len(differing) > _MAX_DIFFERING:
            reason = f"{len(differing):,} code points are encoded differently"
            return Verified(Unsupported(reason, unexpected=True), differing)
        ranges = [*ranges, *((point, point + 1) for point in differing)]
        if differing:
            core = _build_core(text, ranges)
            if isinstance(core, Unsupported):
                return Verified(core, differing)
        texts = pipeline_texts(json.loads(tokenizer.to_str()))
        mismatches = list(differing_texts(tokenizer, core, texts))
    except InputError as error:
        return Verified(Unsupported(str(error)))
    except BaseException as error:
        if not is_panic(error):
            raise
        return Verified(Unsupported(f"the library fails on a hard text: {error}"))
    if mismatches:
        shown = repr(mismatches[0][:_SHOWN]) + (" ..." if len(mismatches[0]) > _SHOWN else "")
        core = Unsupported(f"the text {shown} is encoded differently", unexpected=True)
    return Verified(core, differing, len(texts), mismatches, ranges)


def build_core(
    tokenizer: Tokenizer, fallback_ranges: list[tuple[int, int]]
) -> _core.Encoder | Unsupported:
    """Build the core's encoder for `tokenizer`, without a verification.

    Args:
        tokenizer: The library's tokenizer.
        fallback_ranges: Code points to leave to the library, as ranges (first, one past the last).
    """
    return _build_core(_effective_json(tokenizer), fallback_ranges)


def _effective_json(tokenizer: Tokenizer) -> str:
    """Return tokenizer.json, without special tokens if they are encoded as ordinary text."""
    text = tokenizer.to_str()
    if not getattr(tokenizer, "encode_special_tokens", False):
        return text
    content = json.loads(text)
    tokens = content.get("added_tokens") or []
    kept = [token for token in tokens if not token.get("special")]
    return json.dumps({**content, "added_tokens": kept})


def _build_core(text: str, fallback_ranges: list[tuple[int, int]]) -> _core.Encoder | Unsupported:
    """Build the core's encoder for a tokenizer.json.

    Args:
        text: The tokenizer.json.
        fallback_ranges: Code points to leave to the library, as ranges (first, one past the last).
    """
    try:
        return _core.Encoder(text, fallback_ranges)
    except ValueError as error:
        return Unsupported(str(error))


def _cache_file(text: str) -> Path:
    stamp = Path(_core.__file__).stat() if _core.__file__ else None
    parts = (
        text,
        importlib.metadata.version("tokenizers"),
        unicodedata.unidata_version,
        sys.version,
        _core.__version__,
        _core.simd(),  # other instructions run other code, which is verified separately
        str(stamp and (stamp.st_size, stamp.st_mtime_ns)),
    )
    name = digest(["\0".join(parts).encode()])
    return cache_dir("tokenizers") / f"{name}.json"


def _read(file: Path) -> list[tuple[int, int]] | None:
    """Return the cached ranges of code points that fall back; None if there is no valid cache."""
    try:
        outcome = json.loads(file.read_bytes())
        if outcome["checksum"] != checksum_of(outcome):
            return None
        return [(first, end) for first, end in outcome["fallback_ranges"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path, outcome: dict[str, Any]) -> None:
    """Keep the outcome; a cache that cannot be written costs a second the next time."""
    content = {**outcome, "checksum": checksum_of(outcome)}
    with suppress(OSError):
        write_atomic(file, json.dumps(content).encode())
