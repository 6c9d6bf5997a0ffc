"""A run of `prepare`, from the options to the report."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare.checkpoint import Checkpoint, CheckpointFile, run_fingerprint
from mlmfast.data.prepare.counting import check_countable, count_documents
from mlmfast.data.prepare.encoding import encoder_of
from mlmfast.data.prepare.options import READING_OPTIONS, PrepareOptions
from mlmfast.data.prepare.pipeline import Pipeline, log_resume, worker_layout
from mlmfast.data.prepare.reading.documents import Counts, Cursor
from mlmfast.data.prepare.reading.prefetching import PrefetchingReader
from mlmfast.data.prepare.report import PrepareReport, counted
from mlmfast.data.prepare.split_writer import SplitWriter, split_writers
from mlmfast.data.prepare.validation import (
    check_columns,
    check_not_within,
    check_split_sizes,
    is_small_input,
    load_and_check_tokenizer,
    warn_of_unknown,
)
from mlmfast.data.sources.base import ReadOptions, Source
from mlmfast.data.sources.open import open_sources, rereadable_files
from mlmfast.data.store.folder import holds_store_alone, is_store_listing, upload_order
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError, StoreError
from mlmfast.fs.remote.upload import uploaded
from mlmfast.fs.remote.urls import is_url
from mlmfast.fs.staging import StagingDir, resumable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mlmfast.data.tokenization.load import LoadedTokenizer

logger = logging.getLogger("mlmfast.prepare")


def run_prepare(inputs: Any, output: str | Path, options: PrepareOptions) -> PrepareReport:
    """Turn text into a block store, or one for each split, and report on it.

    Args:
        inputs: As `mlmfast.prepare` takes them.
        output: The folder to write, or its URL.
        options: All other arguments of `mlmfast.prepare`.

    Raises:
        InputError: A text cannot be used, or there is not one block of text.
        NotFoundError: A file, a data set or the tokenizer does not exist.
        OutputExistsError: `output` exists already, or another run is writing it.
        MissingDependencyError: options.engine is "ray", and Ray is not installed.
    """
    if options.engine == "ray":
        from mlmfast.data.prepare.distributed.ray import import_ray

        import_ray()
    if is_url(output):
        return _run_to_url(inputs, str(output), options)
    began = time.perf_counter()
    output = Path(output)
    report = PrepareReport(output)
    with resumable(output, overwrite=options.overwrite, is_ours=holds_store_alone) as work:
        tokenizer = None
        if options.dataset_name is not None:
            # Checked before the data set is downloaded.
            tokenizer = load_and_check_tokenizer(options, report)
        sources = open_sources(
            inputs,
            format=options.format,
            split=options.split,
            dataset_name=options.dataset_name,
            dataset_config=options.dataset_config,
        )
        check_not_within(sources, output)
        reading = ReadOptions(
            **{name: getattr(options, name) for name in READING_OPTIONS},
            group_column=options.test_by,
        )
        check_columns(sources, reading)
        check_countable(sources, options)
        with PrefetchingReader(sources, reading, options) as reader:
            if _can_prefetch(work, sources, options):
                reader.begin(Cursor())
            if tokenizer is None:
                tokenizer = load_and_check_tokenizer(options, report)
            if is_small_input(sources):
                options = replace(options, tokenizer_engine="library")
            engine, counts, splits = _run(work, reader, tokenizer, options, report)
        report.empty, report.null = counts.empty, max(0, counts.null - counts.skipped)
        report.replaced, report.skipped = counts.replaced, counts.skipped
        report.duplicates = counts.duplicates
        if options.filters:
            from mlmfast.data.prepare.reading.filtering import by_rule, lines_by_rule

            report.filtered = by_rule(counts.filtered, options.filters)
            report.dropped_lines = lines_by_rule(counts.dropped_lines, options.filters)
        check_split_sizes(splits, report, options)
        _close(work, splits, sources, options, engine, report)
        for split in splits.values():
            report.tokens += split.tokens
            report.documents += split.documents
            report.text_bytes += split.text_bytes
    report.stores = open_splits(output)
    warn_of_unknown(tokenizer, report)
    report.dropped_tokens = sum(store.manifest.dropped_tokens for store in report.stores.values())
    report.seconds = time.perf_counter() - began
    return report


def _run_to_url(inputs: Any, url: str, options: PrepareOptions) -> PrepareReport:
    """Write the store on this machine, and upload it."""
    began = time.perf_counter()
    with store_at(url, options) as folder:
        report = run_prepare(inputs, folder, options)
        report.stores.clear()
    report.output, report.stores = url, open_splits(url)
    report.seconds = time.perf_counter() - began
    return report


def store_at(url: str, options: PrepareOptions) -> AbstractContextManager[Path]:
    """Yield a folder for one or more block stores, which are at `url` when the block succeeds.

    Raises:
        OutputExistsError: There is something that may not be replaced.
        InputError: The URL cannot be written to, or the engine is Ray.
    """
    if options.engine == "ray":
        raise InputError(
            f"--engine ray writes to a folder that all nodes share, and not to {url!r}: prepare "
            "into such a folder, and copy it."
        )
    return uploaded(url, overwrite=options.overwrite, is_ours=is_store_listing, last=upload_order)


def _can_prefetch(work: StagingDir, sources: list[Source], options: PrepareOptions) -> bool:
    """Whether all files are read from their beginning, so that reading need not wait for the rest.

    The tokenizer is loaded meanwhile.
    """
    files = all(map(rereadable_files, sources))
    resumed = options.resume and work.state.exists()
    return files and not resumed and options.engine == "local"


def _run(
    work: StagingDir,
    reader: PrefetchingReader,
    tokenizer: LoadedTokenizer,
    options: PrepareOptions,
    report: PrepareReport,
) -> tuple[str, Counts, dict[str, SplitWriter]]:
    """Write all text; return the engine that encoded it, the documents' counts and the writers."""
    sources = reader.sources
    fingerprint = run_fingerprint(sources, tokenizer, options)
    if options.engine == "ray":
        from mlmfast.data.prepare.distributed.ray import run_on_ray

        return run_on_ray(work, sources, reader.reading, tokenizer, options, fingerprint)
    state = CheckpointFile(work, fingerprint)
    work.kept = lambda: _describe_kept(work, state)
    splits, checkpoint = _begin(work, state, tokenizer, options)
    if checkpoint is not None:
        report.kept_shards = checkpoint.shards
        report.kept_text_bytes = sum(split.text_bytes for split in splits.values())
        report.kept_tokens = sum(split.writer.tokens for split in splits.values())
    _, threads = worker_layout(options)
    encoder = encoder_of(tokenizer, options, threads=threads, verify=options.verify)
    documents = count_documents(sources, reader.reading, options)
    pipeline = Pipeline(work, reader, options, state, documents)
    return encoder.engine, pipeline.run(encoder, splits, checkpoint), splits


def _begin(
    work: StagingDir, state: CheckpointFile, tokenizer: LoadedTokenizer, options: PrepareOptions
) -> tuple[dict[str, SplitWriter], Checkpoint | None]:
    """Return the writers, and the checkpoint from which they resume, if any."""
    checkpoint, reason = state.load() if options.resume else (None, None)
    work.claimed = True
    if checkpoint is not None:
        try:
            splits = split_writers(work.output, tokenizer, options)
            state.restore(checkpoint, splits)
        except (StoreError, OSError) as error:
            reason = str(error).rstrip(".")
        else:
            log_resume(checkpoint)
            return splits, checkpoint
    if reason is not None:
        logger.warning("Cannot resume the earlier run: %s. Starting over.", reason)
    work.clear()
    return split_writers(work.output, tokenizer, options), None


def _close(
    work: StagingDir,
    splits: dict[str, SplitWriter],
    sources: list[Source],
    options: PrepareOptions,
    engine: str,
    report: PrepareReport,
) -> None:
    origin = {
        "inputs": [source.name for source in sources],
        "dataset_split": options.split,
        "limit": options.limit,
        "shuffle_documents": options.shuffle_documents,
        "deduplicate": options.deduplicate,
        "near_ngram": options.near_ngram,
        "near_threshold": options.near_threshold,
        "duplicate_documents": report.duplicates,
        "filters": list(options.filters),
        "filtered_documents": report.filtered,
        "dropped_lines": report.dropped_lines,
        "test_size": options.test_size,
        "test_by": options.test_by,
        "test_from": options.test_from,
        "seed": options.seed,
        "drop_empty": options.drop_empty,
        "kmer": options.kmer,
        "kmer_stride": options.kmer_stride,
        **{name: getattr(options, name) for name in READING_OPTIONS},
    }
    for split in splits.values():
        split.close(origin, engine=engine)
    if len(splits) > 1:
        content = json.dumps({"splits": list(splits)})
        (work.output / "dataset_dict.json").write_text(content)


def _describe_kept(work: StagingDir, state: CheckpointFile) -> str | None:
    """Say what a failed run keeps and how to resume it; None if it keeps nothing."""
    if state.shards:
        kept = f"{counted(state.shards, 'finished shard')} {'is' if state.shards == 1 else 'are'}"
    elif state.near is not None:
        kept = f"The near-duplicates' keys of {counted(state.near.documents, 'document')} are"
    else:
        return None
    return (
        f"{kept} kept in {str(work.root)!r}: the same command resumes from there, and starts over "
        "with --no-resume; delete the folder to discard it."
    )
