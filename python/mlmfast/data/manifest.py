"""The manifest of a block store, `mlmfast.json`: what the blocks are and where they came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mlmfast.errors import StoreError

MANIFEST_FILE = "mlmfast.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Shard:
    """One file of a block store."""

    file: str
    blocks: int
    bytes: int
    sha256: str
    ids_start: int = 0
    """Where in the file the ids begin, and"""
    ids_end: int = 0
    """where they end, in bytes."""
    frame_sha256: str = ""
    """Of all bytes that are no ids. Arrow's reader trusts them, so they are checked before it."""


@dataclass(frozen=True)
class Manifest:
    """What a block store says of itself."""

    format_version: int
    mlmfast_version: str
    block_size: int
    """Tokens in a block."""
    blocks: int
    tokens: int
    """blocks x block_size, padding included."""
    padding_tokens: int
    """How many of `tokens` are padding: at the end with remainder="pad", in every block that its
    documents do not fill with packing="best_fit"."""
    dropped_tokens: int
    """Tokens at the end that filled no whole block and were left out."""
    documents: int
    text_bytes: int
    """UTF-8 bytes of the text that was tokenized."""
    vocab_size: int
    """Tokens of the tokenizer, added ones included."""
    special_ids: tuple[int, ...]
    mask_token_id: int
    pad_token_id: int | None
    special_tokens: str
    """"document": every document is wrapped in the tokenizer's special tokens; "block": every
    block begins with [CLS] and ends with [SEP]; "none": neither."""
    tokenizer: str
    """The tokenizer as the user gave it; its files lie beside the manifest."""
    tokenizer_sha256: str
    """Of tokenizer.json."""
    tokenizers_version: str
    source: dict[str, Any]
    """The inputs and the options that chose the text."""
    shards: tuple[Shard, ...]
    packing: str = "concat"
    """"concat": documents run on from block to block; "best_fit": they are whole."""
    tokenizer_engine: str | None = None
    """Who encoded the text: "WordPiece", "byte-level BPE" or "Unigram" of our core, or the
    "library"; None where it came as tokens. The ids are the same."""
    checksum: str | None = None
    """Of all the rest of the manifest; `write` sets it."""

    @property
    def fill_rate(self) -> float:
        """The share of `tokens` that is no padding."""
        return 1 - self.padding_tokens / self.tokens

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check the manifest of the store in `folder`.

        Raises:
            StoreError: There is none, it is damaged, or its format version is another.
        """
        path = folder / MANIFEST_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StoreError(_no_store(folder)) from None
        except NotADirectoryError:
            raise StoreError(
                f"{str(folder)!r} is a file, not a block store. Make one of it with "
                "`mlmfast prepare`."
            ) from None
        except (OSError, ValueError) as error:
            raise StoreError(f"{str(path)!r} cannot be read: {error}.") from error
        version = content.get("format_version") if isinstance(content, dict) else None
        if version != FORMAT_VERSION:
            raise StoreError(
                f"The block store {str(folder)!r} has format version {version!r}; this mlmfast "
                f"reads version {FORMAT_VERSION}. Prepare it again with this one, or install the "
                "mlmfast that wrote it."
            )
        try:
            return cls._checked(content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"{str(path)!r} is damaged: {_reason(error)}. Prepare the store again."
            ) from error

    @classmethod
    def _checked(cls, content: dict[str, Any]) -> Manifest:
        values = {
            field.name: content[field.name]
            for field in fields(cls)
            # A field with a default came later; stores without it were written before.
            if field.name in content or field.default is MISSING
        }
        values["special_ids"] = tuple(map(int, values["special_ids"]))
        values["shards"] = tuple(Shard(**shard) for shard in values["shards"])
        manifest = cls(**values)
        for part in (manifest, *manifest.shards):
            _check_types(part)
        if manifest.block_size < 1 or not manifest.shards:
            raise ValueError("it names no blocks")
        if manifest.blocks != sum(shard.blocks for shard in manifest.shards):
            raise ValueError("its blocks are not the sum of its shards'")
        if manifest.tokens != manifest.blocks * manifest.block_size:
            raise ValueError("its tokens are not blocks x block_size")
        for shard in manifest.shards:
            places = 0 <= shard.ids_start <= shard.ids_end <= shard.bytes
            if shard.file != Path(shard.file).name or shard.blocks < 0 or not places:
                raise ValueError(f"{shard.file!r} is no file of a store")
        if manifest.checksum not in (None, manifest._digest()):
            raise ValueError("it was changed after it was written")
        return manifest

    def _digest(self) -> str:
        content = {**asdict(self), "checksum": None}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write the manifest into `folder`."""
        content = {**asdict(self), "checksum": self._digest()}
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def _check_types(part: Any) -> None:
    """Raise ValueError where a whole number or a text is something else."""
    for entry in fields(part):
        wanted = {"int": int, "str": str, "dict[str, Any]": dict}.get(str(entry.type))
        value = getattr(part, entry.name)
        if wanted is not None and type(value) is not wanted:
            raise ValueError(f"its {entry.name} is {value!r}")


def frame_sha256(path: Path, start: int, end: int) -> str:
    """Return the checksum of a file without its bytes `start` to `end`."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(start))
        file.seek(end)
        digest.update(file.read())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    return f"it lacks {error.args[0]!r}" if isinstance(error, KeyError) else str(error)


def _no_store(folder: Path) -> str:
    inside = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST_FILE}"))
    if inside:
        return (
            f"{str(folder)!r} is no block store itself, but holds {' and '.join(inside)}: "
            f"give {str(folder / inside[0])!r}."
        )
    kind = "a `datasets` folder" if (folder / "state.json").exists() else "a folder"
    return (
        f"{str(folder)!r} is {kind}, but no block store: it has no {MANIFEST_FILE}. "
        "Make one with `mlmfast prepare`."
    )
