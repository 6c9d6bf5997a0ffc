"""Test splits that do not leak: whole groups of documents, and the last documents."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import pickle
import sys
import tarfile
from contextlib import contextmanager
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus import jsonl
from mlmfast.data.prepare import run as prepare_run
from mlmfast.data.prepare.distributed import ray as ray_run
from mlmfast.data.prepare.distributed import run as distributed_run
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.split import HoldOut, group_keys, tail_of
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.tokenization.encoder import TextEncoder
from mlmfast.errors import InputError
from numbered_documents import numbers_of, prepare_numbered

COUNT = 150
SITES = [f"site {n * n % 23}" for n in range(COUNT)]
RECORDS = [
    {"text": f"{n} fox", "site": site, "meta": {"id": n // 5}} for n, site in enumerate(SITES)
]
GROUPS = {"test_by": "site", "test_size": 0.3, "seed": 7}
TAIL = {"test_from": "tail", "test_size": 0.1}


def held_out(inputs, out, **options):
    """Prepare, and return the numbers of the test documents after checking the others."""
    stores = prepare_numbered(inputs, out, **options).stores
    test, train = numbers_of(stores["test"]), numbers_of(stores["train"])
    assert not set(test) & set(train)
    return test


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "mlmfast.json"  # which names the inputs
    }


def expected(values, *, share, seed):
    """The documented rule, in plain Python."""
    key = seed.to_bytes(8, "little")
    hashes = [
        int.from_bytes(hashlib.blake2b(v.encode(), digest_size=8, key=key).digest(), "little")
        for v in values
    ]
    return [number for number, value in enumerate(hashes) if value < share * 2**64]


def write_table(folder, kind, records):
    path = folder / f"records.{kind}"
    table = pa.Table.from_pylist(records)
    if kind == "jsonl":
        path.write_bytes(b"\n" + jsonl(*records))
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress(jsonl(*records)))
    elif kind == "csv":
        pa.csv.write_csv(table.select(["text", "site"]), path)
    elif kind == "parquet":
        pq.write_table(table, path, row_group_size=29)
    elif kind == "tar":
        with tarfile.open(path, "w") as tar:
            for number in range(2):
                data = jsonl(*records[number * 70 : (number + 1) * 70 + 70 * number])
                member = tarfile.TarInfo(f"part{number}.jsonl")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    else:
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=11)
    return path


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(prepare_run, "ReadOptions", partial(ReadOptions, batch_bytes=200))


@pytest.fixture
def ray_here(monkeypatch):
    """Let "ray" run in this process, in units of a few documents."""

    class Here:
        def __init__(self, job):
            self._job = pickle.dumps(job)

        def map(self, function, calls):
            for call in calls:
                job, *args = pickle.loads(self._job), *pickle.loads(pickle.dumps(call))
                yield pickle.loads(pickle.dumps(function(job, *args)))

    @contextmanager
    def cluster(_threads):
        yield Here

    monkeypatch.setattr(distributed_run, "UNIT_BYTES", 1500)
    monkeypatch.setattr(ray_run, "ray_cluster", cluster)
    monkeypatch.setattr(ray_run, "import_ray", lambda: None)


# Groups


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "parquet", "arrow", "tar"])
@pytest.mark.usefixtures("small_batches")
def test_the_documents_of_a_group_stay_together_in_every_format(tmp_path, kind):
    path = write_table(tmp_path, kind, RECORDS)
    found = held_out(path, tmp_path / "out", **GROUPS)
    assert found == expected(SITES, share=0.3, seed=7)
    assert 0 < len(found) < COUNT


def test_the_groups_of_tables_data_sets_and_standard_input(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    right = expected(SITES, share=0.3, seed=7)
    table = pa.Table.from_pylist(RECORDS)
    dataset = datasets.Dataset.from_list(RECORDS)
    assert held_out(table, tmp_path / "table", **GROUPS) == right
    assert held_out(dataset, tmp_path / "rows", **GROUPS) == right
    assert held_out(dataset["text"], tmp_path / "column", **GROUPS) == right
    stream = dataset.to_iterable_dataset()
    assert held_out(stream, tmp_path / "stream", **GROUPS) == right
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(jsonl(*RECORDS))))
    )
    assert held_out("-", tmp_path / "stdin", format="jsonl", **GROUPS) == right


def test_numbers_and_nested_fields_name_groups_too(tmp_path):
    options = {**GROUPS, "test_by": "meta.id"}
    right = expected([str(n // 5) for n in range(COUNT)], share=0.3, seed=7)
    for kind in ("jsonl", "parquet"):
        path = write_table(tmp_path, kind, RECORDS)
        assert held_out(path, tmp_path / f"{kind}-out", **options) == right


@pytest.mark.usefixtures("small_batches")
def test_neither_order_nor_deduplication_nor_threads_move_a_group(tmp_path):
    right = {SITES[number] for number in expected(SITES, share=0.3, seed=7)}
    order = np.random.default_rng(0).permutation(COUNT)
    twice = [RECORDS[number] for number in (*order, *order[:40])]
    path = write_table(tmp_path, "jsonl", twice)
    stores = {
        name: prepare_numbered(path, tmp_path / name, **GROUPS, **more).stores
        for name, more in {
            "plain": {"threads": 1},
            "once": {"deduplicate": "exact", "threads": 3},
            "shuffled": {"deduplicate": "exact", "shuffle_documents": True},
        }.items()
    }
    for name, splits in stores.items():
        test, train = numbers_of(splits["test"]), numbers_of(splits["train"])
        assert {SITES[number] for number in test} == right, name
        assert not right & {SITES[number] for number in train}, name
        assert len(test) + len(train) == COUNT + 40 * (name == "plain")


def test_texts_that_are_equal_can_be_a_group(tmp_path):
    """`--test-by` the text itself: no text is in both splits, and none is lost."""
    records = [RECORDS[number % 40] for number in range(COUNT)]
    path = write_table(tmp_path, "jsonl", records)
    test = held_out(path, tmp_path / "out", test_by="text", test_size=0.5)
    assert 0 < len(set(test)) < 40
    assert len(test) == sum(test.count(one) for one in set(test))


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("options", [GROUPS, {**TAIL, "limit": 99}], ids=["groups", "tail"])
def test_many_processes_hold_out_the_same(tmp_path, kind, options):
    path = write_table(tmp_path, kind, RECORDS)
    for engine in ("local", "ray"):
        prepare_numbered(path, tmp_path / engine, engine=engine, **options)
    assert files_of(tmp_path / "local") == files_of(tmp_path / "ray")


@pytest.mark.parametrize("options", [GROUPS, TAIL, {**TAIL, "shuffle_documents": True},
                                     {**GROUPS, "shuffle_documents": True}])  # fmt: skip
@pytest.mark.usefixtures("small_batches")
def test_an_interrupted_run_resumes_to_the_same_bytes(tmp_path, monkeypatch, options):
    path = write_table(tmp_path, "jsonl", RECORDS)
    options = {**options, "shard_tokens": 40, "threads": 1}
    real, calls, limit = TextEncoder.encode, [], math.inf

    def encode(self, texts):
        calls.append(1)
        if len(calls) == limit:
            raise KeyboardInterrupt
        return real(self, texts)

    monkeypatch.setattr(TextEncoder, "encode", encode)
    prepare_numbered(path, tmp_path / "whole", **options)
    limit = 2 * len(calls) - 1  # the last but one of the next run
    with pytest.raises(KeyboardInterrupt):
        prepare_numbered(path, tmp_path / "again", **options)
    report = prepare_numbered(path, tmp_path / "again", **options)
    assert report.kept_shards
    assert files_of(tmp_path / "again") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_document_without_a_group_is_named(tmp_path, kind, value):
    records = [dict(record) for record in RECORDS]
    records[120]["site"] = value
    path = write_table(tmp_path, kind, records)
    # JSON lines begin with a blank one here, and the rows of tables count from 1.
    where = {"jsonl": "line 122", "csv": "row 121 below the header", "parquet": "row 121"}[kind]
    with pytest.raises(InputError, match=rf"{where}: .* no value in the column 'site', .*test_by"):
        prepare_numbered(path, tmp_path / "out", **GROUPS)
    assert not (tmp_path / "out").exists()


def test_what_is_no_document_needs_no_group(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(jsonl(*RECORDS, {"text": None, "site": None}, {"n": 1}))
    assert held_out(path, tmp_path / "out", **GROUPS) == expected(SITES, share=0.3, seed=7)


def test_a_missing_column_names_the_option(tmp_path):
    for kind in ("jsonl", "csv", "parquet"):
        path = write_table(tmp_path, kind, RECORDS)
        with pytest.raises(InputError, match=r"no column 'host'.*'site'.* with --test-by"):
            prepare_numbered(path, tmp_path / "out", **{**GROUPS, "test_by": "host"})
    (tmp_path / "a.txt").write_text("1 fox\n")
    with pytest.raises(InputError, match=r"a\.txt has no columns \(txt\)"):
        prepare_numbered([path, tmp_path / "a.txt"], tmp_path / "out", **GROUPS)


def test_a_split_without_a_group_says_what_to_do(tmp_path):
    path = write_table(tmp_path, "jsonl", [{**one, "site": "x"} for one in RECORDS])
    with pytest.raises(InputError, match=r"split got 0 of 150 documents .* another --seed"):
        prepare_numbered(path, tmp_path / "out", **GROUPS)


def test_the_share_of_the_groups_is_met():
    names = pa.array([f"group {n}" for n in range(20_000)], pa.large_string())
    for seed in (0, 2**64 - 1):
        keys = group_keys(names, seed)
        test = HoldOut(0.2, seed).is_test(np.arange(20_000, dtype=np.uint64), keys)
        assert abs(test.mean() - 0.2) < 5 * (0.2 * 0.8 / 20_000) ** 0.5
    assert (group_keys(names, 0) != group_keys(names, 1)).all()


# The last documents


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.usefixtures("small_batches")
def test_the_last_documents_are_held_out(tmp_path, shuffled):
    """Those left out are counted, so that filters do not move the border."""
    records = [*RECORDS[:60], {"text": None}, *RECORDS[60:], RECORDS[3]]
    path = write_table(tmp_path, "jsonl", records)
    options = {**TAIL, "deduplicate": "exact", "shuffle_documents": shuffled}
    found = held_out(path, tmp_path / "out", **options)
    # 152 were read, and the last 16 of them are 15 documents and the duplicate.
    assert sorted(found) == list(range(135, 150))
    assert (found == sorted(found)) is not shuffled
    found = held_out(path, tmp_path / "limited", limit=61, **TAIL)
    assert sorted(found) == list(range(54, 60))


def test_files_are_read_in_their_order(tmp_path):
    (tmp_path / "b.txt").write_text("".join(f"{n} fox\n" for n in range(30)))
    (tmp_path / "a.txt").write_text("".join(f"{n} fox\n" for n in range(30, 40)))
    files = [tmp_path / "b.txt", tmp_path / "a.txt"]
    assert held_out(files, tmp_path / "out", **{**TAIL, "test_size": 0.3}) == list(range(28, 40))


def test_what_can_be_read_once_only_is_refused_unless_it_is_kept(tmp_path):
    table = pa.table({"text": [f"{n} fox" for n in range(40)]})
    with pytest.raises(InputError, match=r"read only once.*--shuffle-documents"):
        prepare_numbered(table, tmp_path / "out", **TAIL)
    found = held_out(table, tmp_path / "out", shuffle_documents=True, **TAIL)
    assert sorted(found) == [36, 37, 38, 39]


@given(st.integers(1, 10**12), st.integers(1, 999))
def test_the_share_is_a_decimal_number(documents, thousandths):
    exact = -(-documents * thousandths // 1000)
    assert tail_of(documents, thousandths / 1000) == exact
    assert tail_of(documents, float(f"0.{thousandths:03}")) == exact
    assert tail_of(100, 0.07) == 7 != math.ceil(100 * 0.07)


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_by": "site"}, r"--test-size 0\.1"),
        ({"test_from": "tail"}, r"--test-size 0\.1"),
        ({"test_by": "site", "test_from": "tail", "test_size": 0.1}, "give one of them"),
        ({"test_by": "", "test_size": 0.1}, "test_by must be a column"),
        ({"test_from": "head", "test_size": 0.1}, "test_from must be one of random, tail"),
    ],
)
def test_options_that_contradict_each_other(options, message):
    with pytest.raises(InputError, match=message):
        PrepareOptions(tokenizer="any", **options)
