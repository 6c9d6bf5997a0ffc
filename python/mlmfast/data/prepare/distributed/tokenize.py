"""Tokenizing a unit of text into a file of token lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, text_offsets
from mlmfast.data.prepare.distributed.duplicates import UnitTexts
from mlmfast.data.prepare.distributed.job import Job, atomic_file
from mlmfast.data.prepare.distributed.near_duplicates import unit_keys
from mlmfast.data.prepare.distributed.units import Tokenized, Unit
from mlmfast.data.prepare.encoding import encoder_of
from mlmfast.data.prepare.reading.documents import Counts, Cursor, Documents
from mlmfast.data.tokenization.load import id_dtype
from mlmfast.fs.checksums import FileStamp, checksum_of


def tokenize_unit(
    job: Job, unit: Unit, limit: int | None = None, verify: int = 0, locate: bool = False
) -> Tokenized:
    """Write the tokens of a unit, unless an earlier attempt did.

    Args:
        job: The run.
        unit: The text to read.
        limit: Documents to read at most.
        verify: Documents to encode with `tokenizers` as well.
        locate: Count the lines before the unit, so that errors name the lines of the file.

    Raises:
        InputError: A text cannot be used.
    """
    job.check_here()
    stem = f"unit-{unit.number:06d}" + ("" if limit is None else f"-limit-{limit}")
    path, result_path = job.tokens / f"{stem}.arrow", job.tokens / f"{stem}.json"
    earlier = _earlier_result(path, result_path)
    if earlier is not None:
        return earlier
    seen = UnitTexts() if job.options.deduplicate == "exact" else None
    encoder = encoder_of(job.tokenizer, job.options, threads=job.threads, verify=verify)
    sections = [section.numbered() if locate else section for section in unit.sections]
    documents = Documents(list(sections), job.reading, replace(job.options, limit=limit))
    start, sums = Cursor(), np.zeros(3, np.int64)
    hashes, hash_count = None, 0
    near = job.options.deduplicate == "near"
    keys_path = path.with_suffix(".keys")
    schema = _schema(id_dtype(job.tokenizer.id_bound), groups=job.options.test_by is not None)
    with (
        atomic_file(path, job.tokens) as new,
        unit_keys(job, keys_path) if near else nullcontext() as keys,
        pa.OSFile(str(new), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        decoded = map(documents.decode, documents.pieces(start))
        batches = documents.batches(decoded, start, seen)
        for batch in batches if keys is None else keys.keep(batches):
            lists = encoder.encode(batch.texts)
            sizes = np.diff(text_offsets(batch.texts))
            columns = [arrow_numbers(batch.numbers), arrow_numbers(sizes), lists]
            if batch.groups is not None:
                columns.append(arrow_numbers(batch.groups))
            writer.write_batch(pa.record_batch(columns, schema=schema))
            sums += len(lists), len(lists.flatten()), sizes.sum()
    if keys is not None:
        hashes, hash_count = keys_path, keys.count
    if seen is not None:
        hashes, hash_count = path.with_suffix(".npy"), len(seen)
        with atomic_file(hashes, job.tokens) as new:
            seen.write(new)
    written, tokens, text_bytes = sums.tolist()
    result = Tokenized(
        path.name,
        documents.read,
        written,
        tokens,
        text_bytes,
        documents.counts,
        encoder.engine,
        None if hashes is None else hashes.name,
        hash_count,
    )
    made = [path] if hashes is None else [path, hashes]
    stamps = [asdict(FileStamp.of(file)) for file in made]
    content = {"tokenized": asdict(result), "stamps": stamps}
    with atomic_file(result_path, job.tokens) as new:
        new.write_text(json.dumps({**content, "checksum": checksum_of(content)}))
    return result


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the memory-mapped batches of a unit: uint64 `numbers`, int64 `bytes`, `tokens`.

    Documents that are divided by groups also have their `group_keys`, uint64 `groups`.
    """
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        for number in range(file.num_record_batches):
            yield file.get_batch(number)


def _schema(dtype: np.dtype, *, groups: bool) -> pa.Schema:
    ids = pa.large_list(pa.from_numpy_dtype(dtype))
    kinds = [("numbers", pa.uint64()), ("bytes", pa.int64()), ("tokens", ids)]
    return pa.schema([*kinds, ("groups", pa.uint64())] if groups else kinds)


def _earlier_result(path: Path, result_path: Path) -> Tokenized | None:
    """Return the result of an earlier attempt; None if there is none, or it is damaged."""
    try:
        content = json.loads(result_path.read_bytes())
        if checksum_of(content) != content["checksum"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not all(FileStamp(**stamp).matches(path.parent) for stamp in content["stamps"]):
        return None
    result = content["tokenized"]
    return Tokenized(**{**result, "counts": Counts(**result["counts"])})
