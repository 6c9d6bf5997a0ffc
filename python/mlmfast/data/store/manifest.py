"""The manifest of a block store, `mlmfast.json`: what its blocks are and where they come from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mlmfast.errors import StoreError
from mlmfast.fs.checksums import checksum_of, sync_file

MANIFEST_FILE = "mlmfast.json"
FORMAT_VERSION = 1
COLUMN = "input_ids"
"""The column of the shards with the blocks."""
STARTS = "document_starts"
"""The column with the positions in each block at which a document, or the rest of one, begins."""
_DATASETS_FILES = ("dataset_info.json", "state.json")
# The fields that a training depends on, beside the shards.
_CONTENT = (
    "block_size",
    "vocab_size",
    "special_ids",
    "mask_token_id",
    "pad_token_id",
    "special_tokens",
    "packing",
    "tokenizer_sha256",
)


@dataclass(frozen=True)
class Shard:
    """One file of a block store."""

    file: str
    blocks: int
    bytes: int
    sha256: str
    ids_start: int = 0
    """Where the ids begin in the file, in bytes."""
    ids_end: int = 0
    """Where the ids end in the file, in bytes."""
    frame_sha256: str = ""
    """Of all bytes but the ids and the document starts. They are checked before Arrow reads the
    file, since Arrow trusts them."""
    ends_sha256: str = ""
    """Of the first and the last 4 KiB of the ids: opening a store thereby detects another shard's
    file, or a tail that never reached the disk."""
    starts_start: int = 0
    """Where the document starts begin in the file, in bytes."""
    starts_end: int = 0
    """Where the document starts end in the file, in bytes."""
    starts_sha256: str = ""
    """Of the first and the last 4 KiB of the document starts; empty without any."""


@dataclass(frozen=True)
class Manifest:
    """The facts of a block store; the fields of `mlmfast.json`."""

    format_version: int
    mlmfast_version: str
    block_size: int
    """Tokens in a block."""
    blocks: int
    tokens: int
    """blocks x block_size, padding included."""
    padding_tokens: int
    """How many of `tokens` are padding: with remainder="pad" at the end of the store, with
    packing="best_fit" in every block that its documents do not fill."""
    dropped_tokens: int
    """Tokens that are in no block: those at the end that do not fill one, with remainder="drop",
    and those beyond a block's length, with packing="none"."""
    documents: int
    text_bytes: int
    """UTF-8 bytes of the text that was tokenized."""
    vocab_size: int
    """Tokens in the tokenizer, added tokens included."""
    special_ids: tuple[int, ...]
    mask_token_id: int
    pad_token_id: int | None
    special_tokens: str
    """"document": the tokenizer's special tokens are around every document; "block": every block
    begins with [CLS] and ends with [SEP]; "none": neither."""
    tokenizer: str
    """The tokenizer, as the user named it; its files lie beside the manifest."""
    tokenizer_sha256: str
    """Of tokenizer.json."""
    tokenizers_version: str
    source: dict[str, Any]
    """The inputs and the options that chose the text."""
    shards: tuple[Shard, ...]
    packing: str = "concat"
    """"concat": documents continue from block to block; "best_fit": blocks hold whole documents;
    "none": one document per block."""
    document_starts: bool = False
    """Whether the shards have the column `document_starts`."""
    tokenizer_engine: str | None = None
    """What encoded the text: the name of a family of the core, such as "WordPiece", or "library";
    None if the store was made from tokens. The ids do not depend on it."""
    files: dict[str, Any] | None = None
    """Checksums of the files beside the shards, including the tokenizer's; None in stores of
    earlier versions."""
    checksum: str | None = None
    """Of all other fields of the manifest; `write` sets it."""

    @property
    def fill_rate(self) -> float:
        """The share of `tokens` that is not padding."""
        return 1 - self.padding_tokens / self.tokens

    @property
    def tokenizer_files(self) -> dict[str, str]:
        """Checksums of the tokenizer's files, as far as the manifest has them."""
        if self.files is None:
            return {"tokenizer.json": self.tokenizer_sha256}
        return {
            name: checksum for name, checksum in self.files.items() if name not in _DATASETS_FILES
        }

    @property
    def fingerprint(self) -> str:
        """Hash of the blocks and of what their ids mean: equal stores have equal fingerprints."""
        content = {name: getattr(self, name) for name in _CONTENT}
        shards = [(shard.blocks, shard.sha256) for shard in self.shards]
        text = json.dumps([content, shards], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check the manifest of the store in `folder`.

        Raises:
            StoreError: There is none, it is damaged, or it has another format version.
        """
        path = folder / MANIFEST_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StoreError(_no_store_message(folder)) from None
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
        if content.get("checksum") is None:
            raise StoreError(
                f"{str(path)!r} has no checksum: it was changed by hand, or written by an early "
                "version of mlmfast. Prepare the store again."
            )
        try:
            return cls._parse(content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"{str(path)!r} is damaged: {_reason(error)}. Prepare the store again."
            ) from error

    @classmethod
    def _parse(cls, content: dict[str, Any]) -> Manifest:
        values = {
            field.name: content[field.name]
            for field in fields(cls)
            # Fields with a default were added later; older stores lack them.
            if field.name in content or field.default is MISSING
        }
        values["special_ids"] = tuple(map(int, values["special_ids"]))
        values["shards"] = tuple(_shard(shard) for shard in values["shards"])
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
            ends = (0, shard.ids_start, shard.ids_end, shard.bytes)
            starts = (0, shard.starts_start, shard.starts_end, shard.bytes)
            in_file = list(ends) == sorted(ends) and list(starts) == sorted(starts)
            if shard.file != Path(shard.file).name or shard.blocks < 0 or not in_file:
                raise ValueError(f"{shard.file!r} is no file of a store")
        for name, checksum in (manifest.files or {}).items():
            if name != Path(name).name or type(checksum) is not str:
                raise ValueError(f"{name!r} is no file of a store")
        # Over the whole content, including fields that only other versions know.
        if content["checksum"] != checksum_of(content):
            raise ValueError("it was changed after it was written")
        return manifest

    def write(self, folder: Path) -> None:
        """Write the manifest into `folder`."""
        content = asdict(self)
        text = json.dumps(
            {**content, "checksum": checksum_of(content)}, indent=2, ensure_ascii=False
        )
        (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
        sync_file(folder / MANIFEST_FILE)


def changed_message(path: Path) -> str:
    """Return the error message for a file of a store that differs from the manifest."""
    what = "was changed after it was written" if path.is_file() else "is gone"
    return (
        f"{str(path)!r} {what}: its checksum is not the manifest's. Copy it again, or prepare the "
        "store again."
    )


def _shard(content: dict[str, Any]) -> Shard:
    names = {entry.name for entry in fields(Shard)}
    return Shard(**{name: value for name, value in content.items() if name in names})


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    "dict[str, Any]": (dict,),
    "dict[str, Any] | None": (dict, type(None)),
}


def _check_types(part: Any) -> None:
    """Raise ValueError if a field that is an int, a str or a dict has another type."""
    for entry in fields(part):
        value = getattr(part, entry.name)
        if type(value) not in _TYPES.get(str(entry.type), (type(value),)):
            raise ValueError(f"its {entry.name} is {value!r}")


def _reason(error: Exception) -> str:
    return f"it lacks {error.args[0]!r}" if isinstance(error, KeyError) else str(error)


def _no_store_message(folder: Path) -> str:
    inside = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST_FILE}"))
    if inside:
        return (
            f"{str(folder)!r} is no block store itself, but holds {' and '.join(inside)}: "
            f"give {str(folder / inside[0])!r}."
        )
    what = "a `datasets` folder" if (folder / "state.json").exists() else "a folder"
    return (
        f"{str(folder)!r} is {what}, but no block store: it has no {MANIFEST_FILE}. "
        "Make one with `mlmfast prepare`."
    )
