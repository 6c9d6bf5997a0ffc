"""A cache of facts about each tokenizer.json, so that most runs need not open it.

The `tokenizers` library takes up to two seconds to read a large file, and where the core encodes,
little is needed of it: the ids of a few tokens, those around a text, and the ids of rare texts that
the core cannot decide. The former are cached in the user's cache folder, keyed by content and
versions; the file is opened once something else is needed.
"""

from __future__ import annotations

import importlib.metadata
import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast import _core
from mlmfast.fs.atomic import write_atomic
from mlmfast.fs.cache import cache_dir, digest
from mlmfast.fs.checksums import with_checksum, without_checksum
from mlmfast.tokenizers_compat import read_tokenizer, split_special_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Smaller files open quickly enough without a cache.
_MIN_CACHED_BYTES = 1 << 18
# Any bytes as text, which JSON can hold: a SentencePiece model is no UTF-8.
_ANY_BYTES = "latin-1"


@dataclass
class LazyTokenizer:
    """A tokenizer of the `tokenizers` library that is opened only for facts that are not cached."""

    content: bytes = field(repr=False)
    """The tokenizer.json."""
    serialized: str = field(repr=False)
    """The tokenizer.json as the library writes it, without truncation and padding."""
    ids: dict[str, int]
    """Token -> id of its special tokens."""
    around: tuple[list[int], list[int]] | None
    """What its post-processor adds before and after a text; None if it does more than that."""
    encode_special_tokens: bool = False
    """Whether special tokens in a text are encoded as ordinary text."""
    opened: Any = field(default=None, repr=False)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the opened tokenizer."""
        if name.startswith("__") or "content" not in self.__dict__:  # while it is copied or pickled
            raise AttributeError(name)
        return getattr(self.open(), name)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the opened tokenizer, whose own pickle omits a setting."""
        return {**vars(self), "opened": None}

    def open(self) -> Tokenizer:
        """Open the tokenizer, unless it is open already, and return it."""
        if self.opened is None:
            opened = read_tokenizer(self.content)
            opened.no_truncation()
            opened.no_padding()
            if self.encode_special_tokens:
                split_special_tokens(opened)
            self.opened = opened
        return self.opened

    def to_str(self) -> str:
        """Return the tokenizer.json as the library writes it."""
        return self.serialized

    def token_to_id(self, token: str) -> int | None:
        """Return a token's id."""
        cached_id = self.ids.get(token)
        return self.open().token_to_id(token) if cached_id is None else cached_id

    def no_truncation(self) -> None:
        """Do nothing: truncation is disabled already."""

    def no_padding(self) -> None:
        """Do nothing: padding is disabled already."""


def read_cached(files: dict[str, bytes]) -> tuple[LazyTokenizer, dict[str, Any]] | None:
    """Return the unopened tokenizer of `files` and its cached facts; None if there is no cache.

    Where the tokenizer was converted, the facts have its own "files", file name -> content.
    """
    try:
        written, known = without_checksum(_cache_file(files).read_bytes()).split(b"\n", 1)[::-1]
        facts = json.loads(known)
        split = facts.pop("split_special_tokens", False)
        if "files" in facts:
            own = {name: text.encode(_ANY_BYTES) for name, text in facts["files"].items()}
            facts["files"] = files = own
        around = facts.pop("ids_around")
        lazy = LazyTokenizer(
            content=files["tokenizer.json"],
            serialized=written.decode(),
            ids=facts.pop("ids"),
            around=around and (around[0], around[1]),
            encode_special_tokens=split,
        )
    except (OSError, ValueError, KeyError):
        return None
    return lazy, facts


def write_cached(
    files: dict[str, bytes],
    tokenizer: Tokenizer,
    facts: dict[str, Any],
    *,
    converted: dict[str, bytes] | None = None,
    slow_to_open: bool = False,
) -> None:
    """Cache facts about a tokenizer.

    Args:
        files: The tokenizer's files: the key of the cache.
        tokenizer: The tokenizer.
        facts: "ids" and "ids_around", the attributes `ids` and `around` of `LazyTokenizer`, and
            further ones, as JSON can hold them.
        converted: The files that the tokenizer was converted to, where `files` have no
            tokenizer.json.
        slow_to_open: Cache a small tokenizer too.
    """
    if not slow_to_open and len(files["tokenizer.json"]) < _MIN_CACHED_BYTES:
        return
    split = bool(getattr(tokenizer, "encode_special_tokens", False))
    if converted is not None:
        own = {name: content.decode(_ANY_BYTES) for name, content in converted.items()}
        facts = {**facts, "files": own}
    known = json.dumps({**facts, "split_special_tokens": split}).encode()
    content = with_checksum(known + b"\n" + tokenizer.to_str().encode())
    with suppress(OSError):  # without a cache, opening it costs a second the next time
        write_atomic(_cache_file(files), content)


def _cache_file(files: dict[str, bytes]) -> Path:
    stamp = (importlib.metadata.version("tokenizers"), _transformers_version(), _core.__version__)
    contents = (
        f"\0{name}\0{len(content)}\0".encode() + content for name, content in sorted(files.items())
    )
    return cache_dir("opened") / digest(["\0".join(stamp).encode(), *contents])


def _transformers_version() -> str:
    """Return the version of transformers, whose classes change how the files are read."""
    try:
        return importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return ""
