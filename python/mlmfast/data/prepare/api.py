"""Text -> block store, in one pass and in bounded memory: `prepare`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.run import run_prepare
from mlmfast.options import takes_fields_of

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore


@dataclass(frozen=True)
class _Arguments(PrepareOptions):
    inputs: Any
    output: str | Path

    def options(self) -> PrepareOptions:
        return PrepareOptions(
            **{each.name: getattr(self, each.name) for each in fields(PrepareOptions)}
        )


@takes_fields_of(_Arguments)
def prepare(arguments: _Arguments) -> BlockStore | dict[str, BlockStore]:
    """Turn text into a block store.

    Reading, decoding, tokenizing and writing go on at the same time, each in threads of its own.
    Blocks run on across documents and files: less than one block is lost in all (with
    packing="concat"). The same input gives the same bytes, whatever the number of threads.

    Args:
        inputs: A path, a pattern such as "data/*.txt", "-" for standard input, an Arrow column
            or table, a `datasets.Dataset` or `IterableDataset`, a column of one, or a list of
            these; None with `dataset_name`. Text files hold a document a line; of the others,
            `text_column` is read.
        output: The folder to write; it appears when it is whole.
        tokenizer: A folder, a tokenizer.json, a Hub name or a tokenizer object.
        text_column: The column with the text; dots reach into nested fields ("answers.text"),
            and the strings of a list are joined by blanks.
        block_size: Tokens in a block.
        test_size: The share of the documents for a test split; None makes no split. A document's
            place depends on `seed` and its number alone.
        special_tokens: "document" wraps every document as the tokenizer itself does
            (`<s> ... </s>`); "block" begins every block with its cls (or bos) token and ends it
            with sep (or eos); "none" adds nothing.
        remainder: The tokens after the last whole block: "drop" them or "pad" the block.
        packing: "concat" lets documents run on from block to block. "best_fit" keeps every document
            whole that fits a block, and fills the blocks up with padding: for texts that have
            nothing to do with each other, such as one a line. Documents are packed by the shard
            (`shard_tokens`), so that memory stays bounded; larger shards leave less padding.
            "none" gives every document a block of its own, cut at the block's length and filled up
            with padding, as `--line_by_line` of run_mlm.py means it.
        format: "txt", "jsonl", "csv", "tsv", "parquet" or "arrow"; None goes by the names of the
            files. Compressed files (gzip, zstd, bz2, xz, lz4) and archives (zip, tar) are known by
            their first bytes; the files of an archive are read in the order of their names.
        csv_delimiter: What stands between the fields of a row; None: a comma in CSV, a tab in TSV.
        csv_quoting: "minimal": quotes may surround a field, which then may hold delimiters and
            line ends. "none": quotes are text. `csv.QUOTE_MINIMAL` and `csv.QUOTE_NONE`, which
            pandas and `datasets` take as `quoting`, are the same.
        json_field: The field that holds the list of records where a JSON file is one object, as
            `field` of `datasets.load_dataset("json")`.
        dataset_name: A data set on the Hub, a clone of its repository, or a folder that
            `save_to_disk` wrote.
        dataset_config: The configuration of a data set on the Hub.
        split: The split of a data set, or a part of it ("train[:5000]").
        on_invalid_utf8: "error", "replace" (by U+FFFD) or "skip" (leave the document out).
        drop_empty: Leave out documents that are empty or white space alone; by default they become
            `<s></s>`, as in run_mlm.py.
        seed: Chooses the documents of the test split, and the order of shuffled ones.
        limit: Read the first so many documents only.
        shuffle_documents: Put all documents into a random order, any order as likely as any
            other, after `limit` and `deduplicate`. The disk of `output` holds the text once more
            meanwhile, packed by lz4, and memory about 200 MB for up to 64 GB of text, in
            proportion beyond. The test split has the same documents as without.
        deduplicate: "exact" takes a text once, where it comes first: known by a 128-bit hash, which
            costs 20 to 40 bytes of memory a different text.
        add_mask_token: Give a tokenizer that has no mask token this one.
        add_tokens: Words that the tokenizer is to keep whole: a file with one a line, or a list.
            `mlmfast train --add-tokens` with the same gives a checkpoint rows for them.
        tokenizer_engine: "auto" encodes with the fast core wherever it is exact, and leaves what
            it is not certain of to the `tokenizers` library; "library" takes that for everything.
            The ids are the same; the manifest tells which it was.
        verify: Encode so many documents with `tokenizers` as well, and compare.
        engine: "local" works in this process. "ray" spreads the work over a Ray cluster, the one at
            RAY_ADDRESS where that is set; the store's bytes are the same. Inputs and output must
            lie on paths that all nodes share; `shuffle_documents` and `deduplicate` cannot be had.
        overwrite: Replace a store that is there already.
        resume: Where a run was killed, or ended by an error or by Ctrl-C after a file of the store
            was whole, the same call goes on from there: what it writes is the same, byte for byte.
            Changed inputs, options or versions begin anew, and so does False.
        shard_tokens: About how many tokens a file of the store holds; bounds the memory used.
        threads: Threads that tokenize; None takes all cores this process may use. With
            engine="ray" those of each task, by default one.
        progress: Show a progress bar on standard error.

    Returns:
        The store; with `test_size`, {"train": store, "test": store}.

    Raises:
        InputError: An option or a text cannot be used, or there is not one block of text.
        NotFoundError: A file, a data set or the tokenizer is not there.
        OutputExistsError: `output` is there already, or another run is writing it.
        MissingDependencyError: engine="ray", and Ray is not installed.
    """
    report = run_prepare(arguments.inputs, arguments.output, arguments.options())
    for warning in report.warnings:
        warnings.warn(warning, stacklevel=3)  # the caller of `prepare`, above `takes_fields_of`
    return report.stores["train"] if arguments.test_size is None else report.stores
