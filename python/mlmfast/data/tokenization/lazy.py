"""What is known of a tokenizer.json that was opened before, so that it need not be opened again.

The `tokenizers` library takes up to two seconds to read a large one, and where the fast core
encodes it is asked for little: the ids of a few tokens, a stretch of odd text now and then. What
it said is kept in the user's cache folder, by content and versions; it is opened when it is needed.
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

# A smaller file is opened in no time.
_LARGE = 1 << 18


@dataclass
class LazyTokenizer:
    """A tokenizer of the `tokenizers` library that is opened when more is asked than is known."""

    content: bytes = field(repr=False)
    """Its tokenizer.json."""
    written: str = field(repr=False)
    """The same as the library writes it, without truncation and padding."""
    ids: dict[str, int]
    """Token -> id of its special tokens."""
    encode_special_tokens: bool = False
    """Special tokens in a text are text like any other."""
    opened: Any = field(default=None, repr=False)

    def __getattr__(self, name: str) -> Any:
        """Return what the opened tokenizer has."""
        if name.startswith("__") or "content" not in self.__dict__:  # while it is copied or pickled
            raise AttributeError(name)
        return getattr(self.open(), name)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs; a pickle of the opened one would leave out a switch."""
        return {**vars(self), "opened": None}

    def open(self) -> Tokenizer:
        """Return the opened tokenizer."""
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
        return self.written

    def token_to_id(self, token: str) -> int | None:
        """Return a token's id."""
        known = self.ids.get(token)
        return self.open().token_to_id(token) if known is None else known

    def no_truncation(self) -> None:
        """Nothing is cut."""

    def no_padding(self) -> None:
        """Nothing is padded."""


def read_cached(files: dict[str, bytes]) -> tuple[LazyTokenizer, dict[str, Any]] | None:
    """Return the tokenizer of `files`, unopened, and what was kept beside it; None if it is new."""
    try:
        written, known = without_checksum(_cache_file(files).read_bytes()).split(b"\n", 1)[::-1]
        facts = json.loads(known)
        split = facts.pop("split_special_tokens", False)
        late = LazyTokenizer(files["tokenizer.json"], written.decode(), facts.pop("ids"), split)
    except (OSError, ValueError, KeyError):
        return None
    return late, facts


def write_cached(
    files: dict[str, bytes],
    tokenizer: Tokenizer,
    ids: dict[str, int],
    facts: dict[str, Any],
    *,
    costly: bool = False,
) -> None:
    """Keep what `tokenizer`, that of `files`, has said; `facts` go to JSON and back.

    Args:
        files: its files, by which it is found again.
        tokenizer: the tokenizer.
        ids: token -> id of its special tokens.
        facts: what else was found out.
        costly: keep a small one, too.
    """
    if len(files["tokenizer.json"]) < _LARGE and not costly:
        return
    split = bool(getattr(tokenizer, "encode_special_tokens", False))
    known = json.dumps({**facts, "ids": ids, "split_special_tokens": split}).encode()
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
    """Return the version whose classes have a say in what a tokenizer's files mean."""
    try:
        return importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return ""
