"""deduplicate="near" in tasks, without Ray: the documents and the bytes of one machine."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import jsonl, tiny_tokenizer
from mlmfast.data.prepare.distributed import near_duplicates
from mlmfast.data.prepare.distributed import tokenize as tokens
from mlmfast.data.prepare.distributed.job import Job
from mlmfast.data.prepare.distributed.near_duplicates import (
    NearDropped,
    cluster_pairs,
    compare_keys,
    parts_for,
    unit_keys,
)
from mlmfast.data.prepare.distributed.units import units_of
from mlmfast.data.prepare.near import segments
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.package_versions import versions_of
from mlmfast.data.prepare.reading.documents import Cursor, DocumentBatch
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.prepare.several import run_prepare_several
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.open import open_sources
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError
from near_texts import corpus, duplicates_of
from prepare_runs import files_of, hidden
from waves_here import both

TEXTS = corpus()
DUPLICATES = duplicates_of(TEXTS)
REPETITIVE = "the same few words " * 40
OPTIONS = {"block_size": 16, "shard_tokens": 4000, "deduplicate": "near"}


@pytest.fixture(autouse=True)
def many_small_tasks(monkeypatch):
    """Segments of a few documents, and a part of the buckets for each eight of them."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 168 * 5)
    monkeypatch.setattr(near_duplicates, "KEYS_IN_A_TASK", 14 * 8)


@pytest.fixture
def inputs(tmp_path):
    """The texts in three files, beside what is left out for another reason."""
    folder = tmp_path / "in"
    folder.mkdir()
    rows = [{"text": text, "site": f"site {number % 9}"} for number, text in enumerate(TEXTS)]
    others = [{"text": text, "site": "none"} for text in (None, REPETITIVE, "", REPETITIVE, " ")]
    (folder / "a.jsonl").write_bytes(jsonl(*others[:3], *rows[:50]))
    # One unit, whatever its size.
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(jsonl(*rows[50:75], *others[3:])))
    pq.write_table(pa.Table.from_pylist(rows[75:]), folder / "c.parquet", row_group_size=7)
    return [str(path) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize(
    ("unit_bytes", "options"),
    [
        (700, {"drop_empty": True, "filters": "gopher-repetition"}),
        (1 << 30, {"drop_empty": True, "filters": "gopher-repetition"}),
        (3000, {"shuffle_documents": True, "test_size": 0.3, "filters": "gopher-repetition",
                "drop_empty": True, "seed": 5}),
        (20_000, {"test_size": 0.4, "test_by": "site", "packing": "best_fit"}),
        (3000, {"test_size": 0.2, "test_from": "tail", "limit": 99, "remainder": "pad"}),
        (3000, {"near_ngram": 2, "near_threshold": 0.9, "shuffle_documents": True}),
    ],
    ids=str,
)  # fmt: skip
def test_the_store_is_that_of_the_local_engine(tmp_path, here, inputs, unit_bytes, options):
    here(unit_bytes)
    local, distributed = both(tmp_path, inputs, **OPTIONS, **options)
    assert local == distributed
    if "filters" in options:  # the empty documents and the repetitive ones are no duplicates then
        assert distributed[1]["duplicate_documents"] == len(DUPLICATES)
        assert distributed[1]["documents"] == len(TEXTS) - len(DUPLICATES)
    else:
        assert distributed[1]["duplicate_documents"] > 30
    assert hidden(tmp_path) == []


def test_a_text_without_duplicates_keeps_all(tmp_path, here):
    kept = [text for number, text in enumerate(TEXTS) if number not in DUPLICATES]
    (tmp_path / "in.jsonl").write_bytes(jsonl(*({"text": text} for text in kept)))
    here()
    local, distributed = both(tmp_path, tmp_path / "in.jsonl", **OPTIONS)
    assert local == distributed
    assert distributed[1]["duplicate_documents"] == 0


def test_each_of_several_sources_has_its_own(tmp_path, here, inputs):
    here()
    sources = {"one": inputs[0], "two": {"inputs": inputs[1:], "near_threshold": 0.9}}
    for engine in ("local", "ray"):
        options = PrepareOptions(tokenizer=tiny_tokenizer(), engine=engine, **OPTIONS)
        reports = run_prepare_several(sources, tmp_path / engine, options)
        assert all(report.duplicates > 3 for report in reports.values())
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")


# Resuming


@pytest.mark.parametrize("wave", ["compare", "cluster", "write"])
def test_a_run_that_ends_after_the_keys_makes_none_again(tmp_path, here, monkeypatch, inputs, wave):
    ray = PrepareOptions(tokenizer=tiny_tokenizer(), engine="ray", **OPTIONS)
    units = len(units_of(open_sources(inputs), 3000))
    parts = parts_for(14 * (len(TEXTS) + 4))
    assert min(units, parts) > 5
    here(fail_after=units + {"compare": 3, "cluster": parts, "write": parts + 1}[wave])
    with pytest.raises(OSError, match="the power went"):
        run_prepare(inputs, tmp_path / "ray", ray)
    here()
    with monkeypatch.context() as patch:
        patch.setattr(near_duplicates, "DocumentKeys", None)
        patch.setattr(tokens, "encoder_of", None)
        report = run_prepare(inputs, tmp_path / "ray", ray)
    local = run_prepare(inputs, tmp_path / "local", replace(ray, engine="local"))
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")
    assert report.duplicates == local.duplicates > len(DUPLICATES)


def test_another_threshold_makes_all_keys_anew(tmp_path, here, inputs):
    ray = PrepareOptions(tokenizer=tiny_tokenizer(), engine="ray", near_ngram=1, **OPTIONS)
    here(fail_after=30)
    with pytest.raises(OSError, match="the power went"):
        run_prepare(inputs, tmp_path / "ray", replace(ray, near_threshold=0.5))
    here()
    report = run_prepare(inputs, tmp_path / "ray", ray)
    local = run_prepare(inputs, tmp_path / "local", replace(ray, engine="local"))
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")
    assert report.duplicates == local.duplicates


# The parts


@pytest.mark.parametrize("parts", [1, 3, 256])
@pytest.mark.parametrize("sizes", [(110,), (1, 0, 60, 49), (40, 40, 30)], ids=str)
def test_units_and_parts_of_any_size_find_the_same_duplicates(tmp_path, sizes, parts):
    job = job_in(tmp_path)
    files, units, first = [], [], 0
    for size in sizes:
        path = job.tokens / f"unit-{len(files)}.keys"
        with unit_keys(job, path) as keys:
            batches = [batch_of(first, at, min(at + 7, size)) for at in range(0, size, 7)]
            assert list(keys.keep(iter(batches))) == batches
        assert keys.count == 14 * size
        files.append((path.name, first))
        units.append(NearDropped(first, size))
        first += size
    whole = compare_keys(job, tuple(files), 0, 1)
    pairs = sum(compare_keys(job, tuple(files), part, parts) for part in range(parts))
    assert pairs == whole >= len(DUPLICATES)
    cluster_pairs(job, parts, first)
    found = [unit.numbers(job) + np.uint64(unit.first) for unit in units]
    assert np.concatenate(found).tolist() == DUPLICATES
    assert not list(job.tokens.glob("writing-*"))


def batch_of(first, start, stop):
    """The documents `start` to `stop` of the unit that begins with document `first`."""
    texts = pa.array(TEXTS[first + start : first + stop], pa.large_string())
    return DocumentBatch(texts, np.arange(start, stop, dtype=np.uint64), None, Cursor())


def job_in(folder):
    tokenizer = load_tokenizer(tiny_tokenizer())
    options = PrepareOptions(tokenizer=tiny_tokenizer(), engine="ray", deduplicate="near")
    return Job(ReadOptions(), options, tokenizer, folder, folder, versions_of(tokenizer))


def test_a_range_of_buckets_is_one_at_least(monkeypatch):
    assert parts_for(0) == 1
    assert parts_for(1 << 40) == segments.BUCKETS
    monkeypatch.undo()
    keys = near_duplicates.KEYS_IN_A_TASK
    assert [parts_for(keys), parts_for(keys + 1)] == [1, 2]


def test_more_documents_than_numbers_are_refused(tmp_path, here, monkeypatch, inputs):
    monkeypatch.setattr("mlmfast.data.prepare.near.keys._MOST_DOCUMENTS", 100)
    here()
    options = PrepareOptions(tokenizer=tiny_tokenizer(), engine="ray", **OPTIONS)
    with pytest.raises(InputError, match="up to 100 documents at a time: prepare the text in"):
        run_prepare(inputs, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()
