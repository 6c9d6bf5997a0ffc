# The compiled core. Use the functions of `mlmfast`, which accept more kinds of input.

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "DEBUG_BUILD",
    "BlockPlan",
    "CsvColumn",
    "DocumentClusters",
    "Encoded",
    "Encoder",
    "FastaRecords",
    "JsonRecords",
    "KmerTable",
    "ListColumn",
    "Masker",
    "MinHasher",
    "RowPacking",
    "TextFilters",
    "TextHashSet",
    "__version__",
    "block_lengths",
    "document_ids",
    "equal_keys",
    "json_strings",
    "line_ends",
    "pad_documents",
    "permutation",
    "simd",
]

__version__: str
DEBUG_BUILD: bool

def simd() -> str: ...
def line_ends(data: bytes) -> int: ...
def pad_documents(
    offsets: npt.NDArray[np.int64],
    ids: npt.NDArray[np.uint16] | npt.NDArray[np.uint32],
    *,
    block_size: int,
    pad_id: int,
    end: Sequence[int],
) -> tuple[npt.NDArray[np.uint16] | npt.NDArray[np.uint32], int, int]: ...
def json_strings(
    data: bytes, path: Sequence[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.uint64]] | None: ...

@final
class CsvColumn:
    def __new__(
        cls, delimiter: int, quote: int | None, *, column: int, columns: int, line: int
    ) -> CsvColumn: ...
    @property
    def next_row(self) -> tuple[int, int]: ...
    @property
    def many_lines(self) -> tuple[list[int], int]: ...
    @property
    def short(self) -> tuple[list[int], int]: ...
    def feed(
        self, data: bytes
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.uint64]]: ...
    def finish(
        self,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.uint64]]: ...

@final
class DocumentClusters:
    def __new__(cls, count: int) -> DocumentClusters: ...
    def join(self, pairs: npt.NDArray[np.uint32]) -> None: ...
    def duplicates(self) -> npt.NDArray[np.uint32]: ...

@final
class FastaRecords:
    def __new__(
        cls, *, upper: bool, chunk: int | None, offset: int, line: int, continues: bool
    ) -> FastaRecords: ...
    @property
    def start(self) -> tuple[int, int, bool]: ...
    def feed(self, data: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]: ...
    def finish(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]: ...

@final
class JsonRecords:
    def __new__(cls, field: str | None = None) -> JsonRecords: ...
    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> None: ...

def permutation(
    count: int, start: int, stop: int, *, seed: int, epoch: int
) -> npt.NDArray[np.uint64]: ...
def document_ids(
    shards: list[npt.NDArray[Any]],
    starts: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]],
    block_ids: npt.NDArray[np.uint64],
    out: npt.NDArray[np.int32],
    *,
    pad_id: int | None,
    threads: int | None,
) -> None: ...
def block_lengths(
    shards: list[npt.NDArray[Any]],
    out: npt.NDArray[np.int32],
    *,
    pad_id: int,
    threads: int | None,
) -> None: ...

@final
class RowPacking:
    def __new__(cls, lengths: npt.NDArray[np.int32], capacity: int) -> RowPacking: ...
    @property
    def rows(self) -> int: ...
    def documents_of(
        self, rows: npt.NDArray[np.uint64], *, seed: int, epoch: int
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]: ...

@final
class ListColumn:
    def __new__(cls, column: Any) -> ListColumn: ...
    @property
    def tokens(self) -> int: ...
    @property
    def dtype(self) -> str: ...

@final
class BlockPlan:
    def __new__(
        cls,
        column: ListColumn,
        block_size: int,
        *,
        remainder: str,
        packing: str,
        separator_id: bool,
        cls_id: bool,
        sep_id: bool,
        boundaries: bool,
    ) -> BlockPlan: ...
    @property
    def tokens(self) -> int: ...
    @property
    def dropped_tokens(self) -> int: ...
    @property
    def padding_tokens(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def length(self) -> int: ...
    def share(self, column: ListColumn) -> Any | None: ...
    def write(
        self,
        column: ListColumn,
        out: npt.NDArray[Any],
        *,
        separator_id: int | None,
        cls_id: int | None,
        sep_id: int | None,
        pad_id: int | None,
        threads: int | None,
    ) -> None: ...
    def segments(
        self, *, threads: int | None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]: ...
    def document_starts(
        self, *, threads: int | None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]: ...
    def document_ids(self, out: npt.NDArray[np.int32], *, threads: int | None) -> None: ...
    def position_ids(
        self, out: npt.NDArray[np.int32], *, offset: int, threads: int | None
    ) -> None: ...

@final
class Masker:
    def __new__(
        cls,
        *,
        mask_token_id: int,
        vocab_size: int,
        special_ids: list[int],
        mode: str,
        word_starts: npt.NDArray[np.bool_] | None,
        span_probability: float,
        max_span_length: int,
        mlm_probability: float | tuple[str, float, float],
        masks_per_row: int | None,
        at_least_one: bool,
        mask_replace_prob: float,
        random_replace_prob: float,
        random_specials: bool,
    ) -> Masker: ...
    def with_probability(self, mlm_probability: float) -> Masker: ...
    def mask(
        self,
        input_ids: npt.NDArray[Any],
        out_ids: npt.NDArray[Any],
        out_labels: npt.NDArray[Any] | None,
        *,
        seed: int,
        epoch: int,
        block_ids: npt.NDArray[np.uint64] | None,
        special_tokens_mask: npt.NDArray[np.bool_] | None,
        pad_id: int | None,
        strict: bool,
        threads: int | None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any] | None]: ...
    def mask_blocks(
        self,
        shards: list[npt.NDArray[Any]],
        block_ids: npt.NDArray[np.uint64],
        out_ids: npt.NDArray[Any],
        out_labels: npt.NDArray[Any] | None,
        out_attention: npt.NDArray[Any] | None,
        *,
        pad_id: int | None,
        seed: int,
        epoch: int,
        threads: int | None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any] | None]: ...

@final
class Encoder:
    def __new__(cls, json: str, exceptions: Sequence[tuple[int, int]]) -> Encoder: ...
    @property
    def family(self) -> str: ...
    def encode(
        self,
        texts: Any,
        *,
        before: Sequence[int],
        after: Sequence[int],
        narrow: bool,
        threads: int | None,
    ) -> Encoded: ...

@final
class KmerTable:
    def __new__(
        cls, ids: npt.NDArray[np.uint32], *, k: int, stride: int, alphabet: bytes
    ) -> KmerTable: ...
    def encode(
        self,
        texts: Any,
        *,
        before: Sequence[int],
        after: Sequence[int],
        narrow: bool,
        threads: int | None,
    ) -> Encoded: ...

@final
class Encoded:
    def pending(self) -> list[str]: ...
    def pending_rows(self) -> list[int]: ...
    def finish(
        self, ids: npt.NDArray[np.uint32], lengths: npt.NDArray[np.uintp]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]: ...

@final
class MinHasher:
    def __new__(cls, *, ngram: int, bands: int, rows: int) -> MinHasher: ...
    def records(
        self, texts: Any, numbers: npt.NDArray[np.uint64]
    ) -> tuple[bytes, npt.NDArray[np.uint64]]: ...

def equal_keys(records: bytes) -> npt.NDArray[np.uint32]: ...

@final
class TextFilters:
    def __new__(cls, names: Sequence[str]) -> TextFilters: ...
    @staticmethod
    def rules() -> list[str]: ...
    @staticmethod
    def line_rules() -> list[str]: ...
    def apply(
        self, texts: Any
    ) -> tuple[
        tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]] | None,
        npt.NDArray[np.uint8],
        npt.NDArray[np.uint32],
    ]: ...

@final
class TextHashSet:
    def __new__(cls) -> TextHashSet: ...
    def __len__(self) -> int: ...
    def add(self, texts: Any) -> tuple[npt.NDArray[np.bool_], bytes]: ...
    def load(self, keys: bytes) -> None: ...
