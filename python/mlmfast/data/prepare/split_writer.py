"""Writes the block store of one split from the tokens of its documents."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

from mlmfast.data.blocks.one_per_document import PadDocuments
from mlmfast.data.blocks.options import GroupOptions
from mlmfast.data.store.manifest import FORMAT_VERSION, Manifest
from mlmfast.data.store.writer import StoreWriter
from mlmfast.data.tokenization.load import LoadedTokenizer, id_dtype
from mlmfast.errors import InputError
from mlmfast.fs.checksums import file_sha256

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.store.manifest import Shard


def group_options(
    tokenizer: LoadedTokenizer, options: PrepareOptions, *, document_starts: bool = True
) -> GroupOptions:
    """Translate the options of `prepare` into those of grouping, with the tokenizer's ids.

    Args:
        tokenizer: The tokenizer.
        options: The options of `prepare`.
        document_starts: Whether the store gets a column of where documents begin.

    Raises:
        InputError: The tokenizer lacks a token that is needed.
    """
    pads = options.remainder == "pad" or options.packing != "concat"
    if pads and tokenizer.pad_token_id is None:
        way = "--remainder drop" if options.packing == "concat" else "--packing concat"
        raise InputError(
            f"The tokenizer {tokenizer.name!r} has no padding token to fill blocks up with; "
            f"use {way}."
        )
    cls_id = sep_id = None
    if options.special_tokens == "block":
        cls_id = _role(tokenizer, "cls_token", "bos_token")
        sep_id = _role(tokenizer, "sep_token", "eos_token")
    return GroupOptions(
        options.block_size,
        remainder=options.remainder,
        pad_id=tokenizer.pad_token_id if pads else None,
        cls_id=cls_id,
        sep_id=sep_id,
        # Without packing, the writer gets whole blocks.
        packing="concat" if options.packing == "none" else options.packing,
        boundaries="document_starts" if document_starts else None,
    )


def _role(tokenizer: LoadedTokenizer, *roles: str) -> int:
    for role in roles:
        if role in tokenizer.tokens:
            return tokenizer.tokenizer.token_to_id(tokenizer.tokens[role])
    raise InputError(
        f"The tokenizer {tokenizer.name!r} has no {' and no '.join(roles)} to put around every "
        "block; use --special-tokens document or none."
    )


class SplitWriter:
    """Writes the store of one split."""

    def __init__(
        self,
        name: str,
        folder: Path,
        tokenizer: LoadedTokenizer,
        options: PrepareOptions,
        *,
        document_starts: bool = True,
    ) -> None:
        """Write `name` into `folder`.

        Args:
            name: "train" or "test".
            folder: Created if it does not exist.
            tokenizer: Has a mask token.
            options: The options of `prepare`.
            document_starts: Whether each list that is added is a document, so that the store can
                say where documents begin.
        """
        if tokenizer.mask_token_id is None:
            raise InputError(f"The tokenizer {tokenizer.name!r} has no mask token.")
        folder.mkdir(exist_ok=True)
        self.name = name
        self.folder = folder
        self.documents = 0
        self.text_bytes = 0
        self._input_padding = 0  # padding tokens among those added
        self._cut_tokens = 0  # cut off documents that are longer than their block
        self._padder = None
        if options.packing == "none":
            self._padder = PadDocuments(
                tokenizer,
                options.block_size,
                special_tokens=options.special_tokens == "document",
            )
        self._tokenizer = tokenizer
        self._mask_token_id = tokenizer.mask_token_id
        self._options = options
        self._document_starts = document_starts
        self._dtype = id_dtype(tokenizer.id_bound)
        self.writer = StoreWriter(
            folder,
            group_options(tokenizer, options, document_starts=document_starts),
            dtype=self._dtype,
            shard_tokens=options.shard_tokens,
        )

    def add(self, tokens: pa.LargeListArray, *, text_bytes: int) -> None:
        """Add documents.

        Args:
            tokens: A list of token ids for each document.
            text_bytes: UTF-8 bytes of their text.
        """
        self.documents += len(tokens)
        self.text_bytes += text_bytes
        if self._padder is not None:
            tokens, padding, cut = self._padder(tokens)
            self._input_padding += padding
            self._cut_tokens += cut
        self.writer.add(tokens)

    @property
    def tokens(self) -> int:
        """Tokens of the documents, including those cut off, without padding."""
        added = self._input_padding if self._padder is not None else 0
        return self.writer.tokens - added + self._cut_tokens

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs besides the pending tokens of the writer."""
        counts = {
            "documents": self.documents,
            "text_bytes": self.text_bytes,
            "padding_seen": self._input_padding,
            "cut_tokens": self._cut_tokens,
        }
        return {**counts, "writer": self.writer.state()}

    def restore(self, state: dict[str, Any], pending: pa.ChunkedArray) -> None:
        """Continue after `state` of an earlier writer; see `StoreWriter.restore`."""
        self.documents, self.text_bytes = state["documents"], state["text_bytes"]
        self._input_padding, self._cut_tokens = state["padding_seen"], state["cut_tokens"]
        self.writer.restore(state["writer"], pending)

    def add_tokens(self, tokens: pa.LargeListArray, *, documents: int) -> None:
        """Add documents that are already token ids of the tokenizer."""
        self.documents += documents
        if self._tokenizer.pad_token_id is not None:
            ids = tokens.flatten().to_numpy()
            self._input_padding += int((ids == self._tokenizer.pad_token_id).sum())
        self.writer.add(tokens)

    def close(self, origin: dict[str, Any], *, engine: str | None = None) -> None:
        """Finish the store.

        Args:
            origin: Where the text came from, for the manifest.
            engine: The engine that encoded it; None if it came as tokens.
        """
        tokenizer, options, writer = self._tokenizer, self._options, self.writer
        shards = writer.close()
        tokenizer.save(self.folder)
        tokens = writer.blocks * options.block_size
        Manifest(
            format_version=FORMAT_VERSION,
            mlmfast_version=importlib.metadata.version("mlmfast"),
            block_size=options.block_size,
            blocks=writer.blocks,
            tokens=tokens,
            padding_tokens=min(tokens, writer.padding_tokens + self._input_padding),
            dropped_tokens=writer.dropped_tokens + self._cut_tokens,
            documents=self.documents,
            text_bytes=self.text_bytes,
            vocab_size=tokenizer.vocab_size,
            special_ids=tokenizer.special_ids,
            mask_token_id=self._mask_token_id,
            pad_token_id=tokenizer.pad_token_id,
            special_tokens=options.special_tokens,
            packing=options.packing,
            document_starts=self._document_starts,
            tokenizer=tokenizer.name,
            tokenizer_sha256=tokenizer.sha256,
            tokenizers_version=importlib.metadata.version("tokenizers"),
            tokenizer_engine=engine,
            source={**origin, "split": self.name},
            shards=shards,
            files=self._other_files(shards),
        ).write(self.folder)

    def _other_files(self, shards: tuple[Shard, ...]) -> dict[str, str]:
        names = {shard.file for shard in shards}
        return {
            path.name: file_sha256(path)
            for path in sorted(self.folder.iterdir())
            if path.name not in names
        }


def split_writers(
    folder: Path, tokenizer: LoadedTokenizer, options: PrepareOptions
) -> dict[str, SplitWriter]:
    """Return the writers of the splits, or the one of a store without a test split."""
    if options.test_size is None:
        return {"train": SplitWriter("train", folder, tokenizer, options)}
    return {
        name: SplitWriter(name, folder / name, tokenizer, options) for name in ("train", "test")
    }
