"""Text -> block store, in one pass and in bounded memory: `prepare`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.prepare.several import is_several, run_prepare_several
from mlmfast.options import takes_fields_of

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.prepare.report import PrepareReport
    from mlmfast.data.store.store import BlockStore


@dataclass(frozen=True)
class _Arguments(PrepareOptions):
    """The arguments of `prepare`: the options, and what it reads and writes."""

    inputs: Any
    output: str | Path

    def options(self) -> PrepareOptions:
        return PrepareOptions(
            **{each.name: getattr(self, each.name) for each in fields(PrepareOptions)}
        )


@takes_fields_of(_Arguments)
def prepare(arguments: _Arguments) -> BlockStore | dict[str, Any]:
    """Turn text into a block store.

    Reading, decoding, tokenizing and writing run at the same time, each in threads of its own.
    With packing="concat" blocks run on across documents and files, so that less than one block is
    lost in all. The same input gives the same bytes, whatever the number of threads.

    Args:
        inputs: A path, a pattern such as "data/*.txt", a folder of MDS shards (MosaicML streaming),
            a URL (s3://, gs://, abfs://, hf://, https://) of a file, a pattern or a folder of text
            files, "-" for standard input, an Arrow column or table, a `datasets.Dataset` or
            `IterableDataset`, a column of one, or a list of these; None with `dataset_name`. A text
            file holds one document per line, a FASTA file one per record; of all other inputs,
            `text_column` is read. Or a dict of several sources by name, each with such inputs or
            with a dict of `inputs` and options of its own, which are those that say how it is read
            (`text_column`, `format`, `dataset_name` ...), `test_size`, `test_by`, `test_from`,
            `drop_empty`, `limit`, `shuffle_documents`, `filters`, `deduplicate`, `near_ngram` and
            `near_threshold`.
        output: The folder to write; it appears when it is complete. Or a URL (s3://, gs://,
            abfs:// ...): the store is written in the cache folder and then uploaded.
        tokenizer: A folder, a tokenizer.json, a Hub name or a tokenizer object.
        text_column: The column with the text; dots reach into nested fields ("answers.text"),
            and the strings of a list are joined by blanks.
        block_size: Tokens in a block.
        test_size: The share of the documents for a test split; None makes no split. Whether a
            document is in it depends only on `seed` and the document's number.
        test_by: Keep documents together in one split that have the same value of this column, such
            as an author, a site or the document that a passage is from. `test_size` is then the
            share of the values. The split of a value depends only on `seed` and the value. Dots
            reach into nested fields; numbers are taken as text.
        test_from: "random", or "tail": the test split has the last documents, in the order of
            reading. The text is read twice for that, the first time to count the documents.
        special_tokens: "document" wraps every document as the tokenizer itself does
            (`<s> ... </s>`); "block" begins every block with its cls (or bos) token and ends it
            with sep (or eos); "none" adds nothing.
        remainder: The tokens after the last whole block: "drop" them or "pad" the block.
        packing: "concat" lets documents run on from block to block. "best_fit" keeps every document
            whole that fits into a block, and fills the blocks up with padding: for texts that have
            nothing to do with each other, such as one per line. It packs the documents of one shard
            (`shard_tokens`) at a time, so that memory stays bounded; larger shards need less
            padding. "none" gives every document a block of its own, truncated to the block size
            and padded, as `--line_by_line` of run_mlm.py does.
        format: "txt", "jsonl", "csv", "tsv", "parquet", "arrow" or "fasta"; None goes by the
            names of the files. With "document" every file is one document, and of a folder all
            files in it and below are read, except hidden ones. "webdataset" reads tar archives of
            samples; `text_column` is the files' suffix ("txt") or a field of their JSON
            ("json.text"). Compressed files (gzip, zstd, bz2, xz, lz4) and archives (zip, tar)
            are detected by their first bytes; the files of an archive are read in the order of
            their names.
        csv_delimiter: The character between the fields of a row; None is a comma in CSV, a tab in
            TSV.
        csv_quoting: "minimal": quotes may surround a field, which then may hold delimiters and
            line ends. "none": quotes are text. `csv.QUOTE_MINIMAL` and `csv.QUOTE_NONE`, which
            pandas and `datasets` take as `quoting`, mean the same.
        json_field: The field that holds the list of records if a JSON file is one object, as
            `field` of `datasets.load_dataset("json")`.
        fasta_case: "keep" the letters of FASTA sequences as they are, or raise lower-case ones,
            which mark repeats of DNA, to "upper" case.
        fasta_chunk: Cut FASTA sequences into documents of so many letters, without overlap, as
            chromosomes need it; None makes every record a document.
        dataset_name: A data set on the Hub, a clone of its repository, or a folder that
            `save_to_disk` wrote.
        dataset_config: The configuration of a data set on the Hub.
        split: The split of a data set, or a part of it ("train[:5000]").
        on_invalid_utf8: What to do with a document that is not valid UTF-8: raise an "error",
            "replace" the bytes by U+FFFD, or "skip" the document.
        drop_empty: Leave out documents that are empty or only white space; by default they become
            `<s></s>`, as in run_mlm.py.
        seed: Seed of the test split, and of the order with `shuffle_documents`.
        limit: Read only the first `limit` documents.
        shuffle_documents: Put all documents into a uniformly random order, after `limit` and
            `deduplicate`. Meanwhile the disk of `output` holds the text once more, compressed with
            lz4, and memory about 200 MB for up to 64 GB of text, in proportion beyond. The test
            split has the same documents as without.
        deduplicate: "exact" keeps the first of equal texts, recognized by a 128-bit hash; it takes
            20 to 40 bytes of memory per distinct text. "near" keeps the first of texts that share
            most of their word n-grams, equal ones included, found by MinHash with 14 bands of 8
            hash functions, as for FineWeb. The text is read twice for that, with engine="ray" once;
            a stream is kept on disk meanwhile, compressed with lz4. It takes up to 12 bytes of
            memory per document and, beside the output, 168 bytes of disk.
        near_ngram: Words of an n-gram, for deduplicate="near". Case, accents, punctuation and the
            values of numbers make no difference.
        near_threshold: The Jaccard similarity of the sets of n-grams from which on two documents
            are found with a probability of 0.9 or more; it decides on the bands of MinHash.
        filters: Leave out what the rules of published corpora call no prose, before duplicates are
            told: "gopher" and "gopher-repetition" leave out documents, "c4" lines and documents; a
            name or several. The rules and their figures are in docs/cleaning.md; most are for
            English. The report has how many documents and lines each rule left out.
        add_mask_token: The mask token to add to a tokenizer that has none.
        add_tokens: Words that the tokenizer keeps whole: a file with one per line, or a list.
            `mlmfast train --add-tokens` with the same words gives a checkpoint rows for them.
        kmer: Give the tokenizer the k-mers of every document, with blanks between them, instead of
            its text: "ACGTA" is "ACG CGT GTA" with 3, as DNABERT's tokenizers need it. A document
            shorter than `kmer` has none.
        kmer_stride: The letters from the start of one k-mer to the start of the next; `kmer` cuts
            documents into k-mers that do not overlap.
        tokenizer_engine: "auto" encodes with the fast core wherever it is exact, and with the
            `tokenizers` library elsewhere; "library" always encodes with `tokenizers`. The ids are
            the same; the manifest names the engine.
        verify: Encode so many documents with `tokenizers` as well, and compare.
        engine: "local" runs in this process. "ray" runs on a Ray cluster, the one at RAY_ADDRESS
            if that is set; the bytes of the store are the same. Inputs and output must lie on paths
            that all nodes share; `packing="none"` is not available.
        overwrite: Replace a store that already exists.
        resume: Resume an earlier call with the same arguments that was killed, or that ended by an
            error or Ctrl-C after a shard was complete; the result is the same, byte for byte. If
            inputs, options or versions have changed, and with False, the call starts over.
        shard_tokens: About how many tokens a shard (a file of the store) holds; bounds the memory.
        threads: Threads that tokenize; None takes all cores this process may use. With
            engine="ray", the threads of each task, by default one.
        progress: Show a progress bar on standard error.

    Returns:
        The store; with `test_size`, {"train": store, "test": store}. For several sources, a dict of
        these by name: the store of a source is the folder of its name in `output`, as
        `mlmfast.Mixture` takes them.

    Raises:
        InputError: An option or a text cannot be used, or the text is less than one block.
        NotFoundError: A file, a data set or the tokenizer does not exist.
        OutputExistsError: `output` exists already, or another run is writing it.
        MissingDependencyError: engine="ray", and Ray is not installed.
    """
    inputs, options = arguments.inputs, arguments.options()
    if not is_several(inputs):
        return _result(run_prepare(inputs, arguments.output, options))
    made: dict[str, Any] = {}
    for name, report in run_prepare_several(inputs, arguments.output, options).items():
        made[name] = _result(report)
    return made


def _result(report: PrepareReport) -> BlockStore | dict[str, BlockStore]:
    for warning in report.warnings:
        warnings.warn(warning, stacklevel=4)  # the caller of `prepare`, above `takes_fields_of`
    return report.stores["train"] if len(report.stores) == 1 else report.stores
