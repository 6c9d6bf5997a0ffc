"""The options of `prepare`: one table for its signature, its checks, its flags and their help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlmfast.data.blocks.options import PACKINGS, packing_name
from mlmfast.data.sources.base import FASTA_CASES, POLICIES, QUOTINGS, delimiter_of, quoting_of
from mlmfast.data.sources.formats import FORMATS
from mlmfast.data.tokenization.options import ENGINES
from mlmfast.errors import InputError
from mlmfast.options import check_choice, check_options, option
from mlmfast.runtime.cpu import thread_count

_UNPACKED = "none"

FILTERS = ("gopher", "gopher-repetition", "c4")
READING_OPTIONS = (
    "text_column",
    "csv_delimiter",
    "csv_quoting",
    "json_field",
    "fasta_case",
    "fasta_chunk",
    "on_invalid_utf8",
)
"""Those that say how text is read: fields of `ReadOptions`."""
SOURCE_OPTIONS = ("format", "dataset_name", "dataset_config", "split", *READING_OPTIONS)
"""Those that say what is read and how, which `train-tokenizer` has too."""


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How text becomes blocks; the defaults are the Hugging Face guide's.

    `mlmfast.prepare` has these fields as its keywords and documents them at length;
    `mlmfast prepare` has a flag for each but `progress`. Whoever adds one adds it here, and to the
    docstring of `mlmfast.prepare`.
    """

    tokenizer: Any = field(
        metadata={
            "help": "A folder, a tokenizer.json or a name on the Hugging Face Hub.",
            "metavar": "NAME",
        }
    )
    text_column: str = option(
        "Column with the text; a.b reaches into nested fields, and the strings of a list are "
        "joined by blanks.",
        "text",
        metavar="NAME",
    )
    block_size: int = option("Tokens in a block.", 128, minimum=1)
    test_size: float | None = option(
        "Share of the documents for a test split, such as 0.2.  [default: no split]",
        metavar="SHARE",
    )
    test_by: str | None = option(
        "Column whose documents stay together in one split, by its value, such as an author or a "
        "site.  [default: every document by itself]",
        metavar="NAME",
    )
    test_from: str = option(
        "Draw the documents of the test split at random, or take the last ones.",
        "random",
        choices=("random", "tail"),
    )
    special_tokens: str = option(
        "Wrap every document, or every block, in the tokenizer's special tokens, or add none.",
        "document",
        choices=("document", "block", "none"),
    )
    remainder: str = option(
        "Drop the tokens after the last whole block, or pad them to a block.",
        "drop",
        choices=("drop", "pad"),
    )
    packing: str = option(
        "Let documents run on from block to block, keep them whole and pad the blocks, or give "
        "each a block of its own.",
        "concat",
        choices=(*PACKINGS, _UNPACKED),
    )
    format: str | None = option(
        "Format of the files, compressed or not.  [default: by their names]", choices=FORMATS
    )
    csv_delimiter: str | None = option(
        "Character between the fields of a row.  [default: comma in CSV, tab in TSV]",
        metavar="CHARACTER",
    )
    csv_quoting: str = option(
        "In CSV and TSV, quotes may surround a field (minimal), or are text (none).",
        "minimal",
        choices=QUOTINGS,
    )
    json_field: str | None = option(
        'Field with the list of records, where a JSON file is one object: {"NAME": [...]}.',
        metavar="NAME",
    )
    fasta_case: str = option(
        "In FASTA, keep the case of the letters, or raise soft-masked ones to upper case.",
        "keep",
        choices=FASTA_CASES,
    )
    fasta_chunk: int | None = option(
        "Cut FASTA sequences into documents of N letters, without overlap.  "
        "[default: a document a record]",
        minimum=1,
        metavar="N",
    )
    dataset_name: str | None = option(
        "A data set of the Hugging Face Hub, or its folder.", metavar="NAME"
    )
    dataset_config: str | None = option("Configuration of the Hub's data set.", metavar="NAME")
    split: str | None = option(
        'Split of a data set, or a part of it, such as "train[:5000]".', metavar="SPLIT"
    )
    on_invalid_utf8: str = option(
        "Where a document is not valid UTF-8: stop, replace the bytes by U+FFFD, or skip the "
        "document.",
        "error",
        choices=POLICIES,
    )
    drop_empty: bool = option("Leave out empty and blank documents.", False)
    seed: int = option("Seed of the test split and of the shuffled order.", 0, minimum=0)
    limit: int | None = option("Read the first N documents only.", minimum=1, metavar="N")
    shuffle_documents: bool = option(
        "Shuffle all documents; meanwhile the disk holds the text once more.", False
    )
    deduplicate: str | None = option(
        "Keep the first of equal texts, or of texts that share most of their word n-grams (near), "
        "for which the text is read twice.  [default: keep all]",
        choices=("exact", "near"),
    )
    near_ngram: int = option("Words of an n-gram of near-duplicates.", 5, minimum=1, metavar="N")
    near_threshold: float = option(
        "Jaccard similarity of two documents' n-grams from which on near-duplicates are found in 9 "
        "of 10 cases or more.",
        0.8,
        bounds=(0.5, 1.0),
        metavar="SHARE",
    )
    filters: tuple[str, ...] = option(
        "Leave out what the rules of a published corpus call no prose: documents (gopher, "
        "gopher-repetition), or lines and documents (c4). May be repeated.",
        (),
        flag="--filter",
    )
    add_mask_token: str | None = option(
        "Add this mask token to a tokenizer without one.", metavar="TOKEN"
    )
    add_tokens: str | Path | Sequence[str] = option(  # noqa: RUF009 - it is a field
        "File of words that the tokenizer keeps whole, one a line; see `mlmfast train "
        "--add-tokens`.",
        (),
        metavar="FILE",
    )
    kmer: int | None = option(
        "Give the tokenizer the K-mers of every document, with blanks between them, as DNABERT's "
        "need.  [default: the text]",
        minimum=1,
        metavar="K",
    )
    kmer_stride: int = option(
        "Letters from the start of one k-mer to the start of the next.", 1, minimum=1, metavar="N"
    )
    tokenizer_engine: str = option(
        "Encode with the fast core wherever it is exact, or always with `tokenizers`.",
        "auto",
        choices=ENGINES,
    )
    verify: int = option(
        "Encode N documents with `tokenizers` as well, and compare.", 0, minimum=0, metavar="N"
    )
    engine: str = option(
        "Work in this process, or on all nodes of a Ray cluster; the store's bytes are the same.",
        "local",
        choices=("local", "ray"),
    )
    overwrite: bool = option("Replace a store that already exists.", False)
    resume: bool = option("Resume a run of the same command that was interrupted.", True)
    shard_tokens: int = option("Tokens in one file of the store.", 1 << 26, minimum=1)
    threads: int | None = option(
        "Threads that tokenize; with Ray, those of each task.  [default: all cores; with Ray, 1]",
        metavar="N",
    )
    progress: bool = option("Show a progress bar on standard error.", False)

    def __post_init__(self) -> None:
        for name, value in (
            ("packing", packing_name(self.packing)),
            ("csv_delimiter", delimiter_of(self.csv_delimiter)),
            ("csv_quoting", quoting_of(self.csv_quoting)),
        ):
            object.__setattr__(self, name, value)
        check_options(self)
        self._check_filters()
        self._check_test_split()
        thread_count(self.threads)
        if self.kmer is None and self.kmer_stride != 1:
            raise InputError("kmer_stride goes with kmer, which is not given.")
        if self.deduplicate != "near" and (self.near_ngram, self.near_threshold) != (5, 0.8):
            raise InputError(
                "near_ngram and near_threshold go with deduplicate='near', which is not given."
            )
        if self.packing == _UNPACKED and self.special_tokens == "block":
            raise InputError(
                "special_tokens='block' is for documents that share blocks: with packing='none', "
                "use 'document' or 'none'."
            )
        if self.engine == "ray" and self.packing == _UNPACKED:
            raise InputError("packing='none' does not work with engine 'ray'; use engine 'local'.")
        object.__setattr__(self, "add_tokens", self._read_tokens())

    def _check_test_size(self) -> None:
        share = self.test_size
        if share is None:
            return
        if isinstance(share, bool) or not isinstance(share, float) or not 0 < share < 1:
            raise InputError(
                f"test_size is the share of the documents to test on, such as 0.2; got {share!r}."
            )

    def _check_test_split(self) -> None:
        """Raise InputError if the test split that is described cannot be made."""
        self._check_test_size()
        given = [
            name
            for name, chosen in (
                ("test_by", self.test_by is not None),
                ("test_from", self.test_from != "random"),
            )
            if chosen
        ]
        if given and self.test_size is None:
            raise InputError(
                f"{given[0]} describes a test split: give its share too, such as --test-size 0.1 "
                "(test_size=0.1)."
            )
        if len(given) == 2:
            raise InputError(
                "test_by draws groups of documents at random, and test_from='tail' takes the last "
                "documents: give one of them."
            )
        if self.test_by is not None and (not isinstance(self.test_by, str) or not self.test_by):
            raise InputError(f"test_by must be a column's name; got {self.test_by!r}.")

    def _check_filters(self) -> None:
        filters: Any = self.filters  # a single name is taken too
        given = (filters,) if isinstance(filters, str) else tuple(filters)
        for name in given:
            check_choice("filters", name, FILTERS)
        object.__setattr__(self, "filters", tuple(name for name in FILTERS if name in given))

    def _read_tokens(self) -> tuple[str, ...]:
        if not self.add_tokens:
            return ()
        from mlmfast.data.tokenization.added_tokens import read_tokens

        return tuple(read_tokens(self.add_tokens))
