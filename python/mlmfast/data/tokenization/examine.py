"""Examining a tokenizer: what encodes it and why, whether the ids are equal, and how fast it is."""

from __future__ import annotations

import importlib.metadata
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from mlmfast import _core
from mlmfast.data.tokenization.loaded import LoadedTokenizer
from mlmfast.data.tokenization.python_classes.slow import SlowTokenizer
from mlmfast.data.tokenization.verification.comparing import compare, encode_with_library
from mlmfast.data.tokenization.verification.edges.vocabulary import steps_of
from mlmfast.data.tokenization.verification.parity import Unsupported, Verified, build_core, verify
from mlmfast.errors import InputError

LIBRARY = "library"
_ROUNDS = 3
# Seconds of work that the library gets in a round, and the text with which its speed is estimated.
_SECONDS, _TRIAL_BYTES = 0.5, 100_000
# Texts compared in one call.
_BATCH = 2000
_PARTS = ("normalizer", "pre_tokenizer", "model")


@dataclass
class Speeds:
    """MB of text a second, by one thread."""

    cold: float | None = None
    """The core's first pass over the texts; None if it does not encode this tokenizer."""
    warm: float | None = None
    """Its second pass."""
    library: float | None = None
    """The `tokenizers` library, over as much of the texts as takes it half a second."""


@dataclass
class Examination:
    """What `examine` finds."""

    tokenizer: str
    vocab_size: int
    engine: str
    """What encodes: the family of the core, or "library"."""
    reason: str | None
    """Why the core does not encode it; None if it does."""
    library: str
    """The version of `tokenizers` with which it was compared."""
    steps: dict[str, list[str]]
    """Part of the tokenizer.json -> the kinds of its steps."""
    added_tokens: int
    differing_code_points: int = 0
    """Code points that both encode differently, and that are left to the library."""
    hard_texts: int = 0
    """Hard texts that were compared."""
    verify_seconds: float = 0.0
    texts: int = 0
    """Given texts that were compared."""
    bytes: int = 0
    """Their size in UTF-8."""
    bytes_by_library: int = 0
    """Of these, what the library had to encode."""
    mismatches: list[str] = field(default_factory=list)
    """Hard texts and given texts whose ids differ."""
    megabytes_per_second: Speeds = field(default_factory=Speeds)

    @property
    def library_share(self) -> float:
        """The share of the bytes that the library had to encode."""
        return self.bytes_by_library / self.bytes if self.bytes else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return {**asdict(self), "library_share": self.library_share}


def examine(loaded: LoadedTokenizer, texts: Sequence[str]) -> Examination:
    """Examine a tokenizer: verify it anew, encode `texts` with the core and the library, time both.

    Args:
        loaded: The tokenizer.
        texts: Texts to compare and to measure with; not empty.

    Raises:
        InputError: There is no text, or the library cannot encode one.
    """
    if not any(texts):
        raise InputError("There is no text to examine the tokenizer with.")
    in_python = isinstance(loaded.tokenizer, SlowTokenizer)
    content = {} if in_python else json.loads(loaded.tokenizer.to_str())
    found = Examination(
        tokenizer=loaded.name,
        vocab_size=loaded.vocab_size,
        engine=LIBRARY,
        reason="it is written in Python" if in_python else None,
        library=importlib.metadata.version("tokenizers"),
        steps={part: _kinds(content.get(part)) for part in _PARTS},
        added_tokens=len(content.get("added_tokens") or []),
        texts=len(texts),
        bytes=sum(len(text.encode()) for text in texts),
    )
    if in_python:
        found.bytes_by_library = found.bytes
        found.megabytes_per_second.library = _library_speed(loaded, texts)
        return found
    start = time.perf_counter()
    verified = verify(loaded.tokenizer)
    found.verify_seconds = time.perf_counter() - start
    found.differing_code_points = len(verified.differing)
    found.hard_texts = verified.texts
    found.mismatches += verified.mismatches
    if isinstance(verified.core, Unsupported):
        found.reason = verified.core.reason
        found.bytes_by_library = found.bytes
    else:
        found.engine = verified.core.family
        for at in range(0, len(texts), _BATCH):
            batch = texts[at : at + _BATCH]
            compared = compare(loaded.tokenizer, verified.core, batch)
            pairs = zip(batch, compared.equal, strict=True)
            found.mismatches += [text for text, same in pairs if not same]
            found.bytes_by_library += sum(compared.left)
        _time_core(loaded, verified, texts, found)
    found.megabytes_per_second.library = _library_speed(loaded, texts)
    return found


def _kinds(part: dict[str, Any] | None) -> list[str]:
    return [str(step.get("type", "unnamed")) for step in steps_of(part)]


def _time_core(
    loaded: LoadedTokenizer, verified: Verified, texts: Sequence[str], found: Examination
) -> None:
    column = pa.array(texts, pa.large_string())
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(_ROUNDS):
        core = build_core(loaded.tokenizer, verified.fallback_ranges)
        if isinstance(core, Unsupported):
            return
        for seconds in (cold, warm):
            seconds.append(_seconds(_encode, loaded, core, column))
    found.megabytes_per_second.cold = found.bytes / 1e6 / statistics.median(cold)
    found.megabytes_per_second.warm = found.bytes / 1e6 / statistics.median(warm)


def _encode(loaded: LoadedTokenizer, core: _core.Encoder, column: pa.Array) -> None:
    encoded = core.encode(column, before=[], after=[], narrow=False, threads=1)
    lengths, ids = encode_with_library(loaded.tokenizer, encoded.pending(), threads=1)
    encoded.finish(ids, lengths.astype(np.uintp))


def _library_speed(loaded: LoadedTokenizer, texts: Sequence[str]) -> float:
    some, size = _first(texts, _TRIAL_BYTES)
    trial = _seconds(encode_with_library, loaded.tokenizer, some, threads=1)
    some, size = _first(texts, int(size / trial * _SECONDS))
    times = [
        _seconds(encode_with_library, loaded.tokenizer, some, threads=1) for _ in range(_ROUNDS)
    ]
    return size / 1e6 / statistics.median(times)


def _first(texts: Sequence[str], most: int) -> tuple[Sequence[str], int]:
    """Return the first texts of about `most` bytes, at least one, and their size."""
    ends = np.cumsum([len(text.encode()) for text in texts])
    count = max(1, int(np.searchsorted(ends, most, "right")))
    return texts[:count], int(ends[count - 1])


def _seconds(call: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    start = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - start
