"""The three waves without Ray: every task in this process, by way of pickle."""

from __future__ import annotations

import gzip
import re
from functools import partial
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus import jsonl, tiny_tokenizer
from log_lines import log_lines
from mlmfast.data.prepare import run as prepare_run
from mlmfast.data.prepare.distributed import duplicates, shuffling
from mlmfast.data.prepare.distributed.job import Job
from mlmfast.data.prepare.distributed.sharding import plan_documents, plan_tokens
from mlmfast.data.prepare.distributed.units import units_of
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.package_versions import versions_of
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.open import open_sources
from mlmfast.data.sources.readers import csv
from mlmfast.data.sources.sections import split_source
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError
from prepare_runs import files_of
from waves_here import TEXTS, both, write_inputs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"test_size": 0.3, "seed": 3, "drop_empty": True},
        {"limit": 555, "remainder": "pad", "special_tokens": "none"},
        {"limit": 400, "test_size": 0.1},
        {"packing": "best_fit", "special_tokens": "block"},
        {"packing": "best_fit", "test_size": 0.2, "limit": 1300},
        {"filters": "gopher-repetition", "limit": 1300, "test_size": 0.2},
        {"shard_tokens": 1 << 20, "tokenizer_engine": "library", "verify": 5},
    ],
    ids=str,
)
def test_the_store_is_that_of_the_local_engine(tmp_path, here, options):
    (tmp_path / "in").mkdir()
    inputs = write_inputs(tmp_path / "in")
    here()
    local, distributed = both(
        tmp_path, inputs, **{"shard_tokens": 3000, "block_size": 16, **options}
    )
    assert local == distributed
    assert not list(tmp_path.glob(".*"))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.text("ab\r\n é", max_size=12), min_size=1, max_size=30),
    unit=st.integers(1, 60),
    packing=st.sampled_from(["concat", "best_fit"]),
    test_size=st.sampled_from([None, 0.5]),
    limit=st.none() | st.integers(1, 40),
    duplicates=st.sampled_from([None, "exact", "near"]),
)
def test_any_cut_gives_the_same(
    tmp_path_factory, here, texts, unit, packing, test_size, limit, duplicates
):
    folder = tmp_path_factory.mktemp("any")
    (folder / "in.txt").write_bytes("\n".join(["x" * 20] * 2 + texts).encode())
    here(unit)
    given = {"packing": packing, "test_size": test_size, "limit": limit, "remainder": "pad"}
    given["deduplicate"] = duplicates
    outcomes = []
    for engine in ("local", "ray"):
        options = PrepareOptions(
            tokenizer=tiny_tokenizer(), block_size=4, shard_tokens=9, engine=engine, **given
        )
        try:
            run_prepare(folder / "in.txt", folder / engine, options)
            outcomes.append(files_of(folder / engine))
        except InputError as error:
            outcomes.append(re.sub(r" \d+ finished .*", "", str(error)))
    assert outcomes[0] == outcomes[1]


def test_sections_together_are_the_source(tmp_path):
    inputs = write_inputs(tmp_path)
    reading = ReadOptions(batch_bytes=100)
    for source in open_sources(inputs):
        whole = [t for piece in source.pieces(reading) for t in piece.decode(reading).to_pylist()]
        sections = split_source(source, 1000, reading)
        parts = [
            text
            for section in sections
            for piece in section.pieces(reading)
            for text in piece.decode(reading).to_pylist()
        ]
        assert parts == whole
        assert (len(sections) > 5) == source.name.endswith(
            ("a.txt", "jsonl", "d.txt", "parquet", "fasta", "arrow")
        )


def read_in_pieces(monkeypatch):
    """Read CSV in pieces of 90 bytes, also the first one, which is large enough for any header."""
    monkeypatch.setattr(prepare_run, "ReadOptions", partial(ReadOptions, batch_bytes=90))
    monkeypatch.setattr(csv, "_HEADER_BYTES", 90)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_table_is_cut_between_rows_whatever_is_in_its_fields(tmp_path, here, monkeypatch, ending):
    """Line ends and quotes inside of quotes, a stray quote, a BOM, and rows that lack fields."""
    read_in_pieces(monkeypatch)
    fields = ['"two\nlines"', '"a ""quote"""', 'plain 5" nail', '","', "", '"\r\n\n"']
    rows = [f"{n},{fields[n % len(fields)]},s{n % 7}" for n in range(300)]
    rows[150] = "150"
    path = tmp_path / "in.csv"
    path.write_bytes(b"\xef\xbb\xbf" + ending.join(["n,text,site", *rows]).encode())
    assert len(units_of(open_sources(path), 200, ReadOptions(batch_bytes=90))) > 10
    here(200)
    local, distributed = both(tmp_path, path, block_size=8, test_size=0.3, test_by="site")
    assert local == distributed


def test_errors_of_tables_name_the_row(tmp_path, here, monkeypatch):
    read_in_pieces(monkeypatch)
    rows = [b"%d,word" % number for number in range(300)]
    rows[222] = b"222,caf\xe9"
    (tmp_path / "bytes.csv").write_bytes(b"\n".join([b"n,text", *rows]))
    rows[222] = b"222,a,b"
    (tmp_path / "fields.csv").write_bytes(b"\n".join([b"n,text", *rows]))
    batch = pa.record_batch({"text": pa.array(["word"] * 19 + [b"\xff"], pa.binary())})
    with pa.ipc.new_file(str(tmp_path / "bytes.arrow"), batch.schema) as writer:
        for number in range(10):
            writer.write_batch(batch if number == 7 else batch.slice(0, 19))
    here(200)
    for name, place in (
        ("bytes.csv", "row 223 below the header"),
        ("fields.csv", "line 224"),
        ("bytes.arrow", "row 153"),
    ):
        messages = []
        for engine in ("local", "ray"):
            options = PrepareOptions(tokenizer=tiny_tokenizer(), engine=engine)
            with pytest.raises(InputError, match=place) as caught:
                run_prepare(tmp_path / name, tmp_path / "out", options)
            messages.append(str(caught.value))
        assert messages[1].startswith(messages[0])


def test_what_one_task_reads_is_told_with_its_size(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("".join(TEXTS).encode()))
    table = pa.table({"text": TEXTS})
    with pa.ipc.new_stream(str(tmp_path / "b.arrow"), table.schema) as writer:
        writer.write_table(table)
    with log_lines() as lines:
        for name in ("a.txt.gz", "b.arrow"):
            (source,) = open_sources(tmp_path / name)
            assert len(split_source(source, 500)) == 1
    assert "a.txt.gz, 0.0 MB, is read by one task, since it is compressed" in lines[0]
    assert "since it is an Arrow stream" in lines[1]


def test_a_data_set_is_cut_between_rows(tmp_path, here, monkeypatch):
    datasets = pytest.importorskip("datasets")
    from mlmfast.data.sources import sections as module

    monkeypatch.setattr(module, "_SECTION_ROWS", 70)
    datasets.Dataset.from_dict({"text": TEXTS}).save_to_disk(tmp_path / "set")
    here(100)
    local, distributed = both(tmp_path, str(tmp_path / "set"), block_size=16, limit=333)
    assert local == distributed


def test_errors_name_the_line_of_the_file(tmp_path, here):
    lines = [f"line {number}\r\n".encode() for number in range(1, 901)]
    lines[699] = b"caf\xe9\n"
    (tmp_path / "in.txt").write_bytes(b"".join(lines))
    records = [b'{"text": "a"}\n', b"\n"] * 400
    records[701] = b'{"text": 3}\n'
    (tmp_path / "in.jsonl").write_bytes(b"".join(records))
    sequences = [b">a\r\n", b"ACGT\r\n"] * 400
    sequences[701] = b"AC\0GT\n"
    (tmp_path / "in.fasta").write_bytes(b"".join(sequences))
    here(1000)
    for name, line in (("in.txt", 700), ("in.jsonl", 702), ("in.fasta", 702)):
        messages = []
        for engine in ("local", "ray"):
            options = PrepareOptions(tokenizer=tiny_tokenizer(), engine=engine)
            with pytest.raises(InputError, match=rf"{name}, line {line}\b") as caught:
                run_prepare(tmp_path / name, tmp_path / "out", options)
            messages.append(str(caught.value))
        assert messages[1].startswith(messages[0])


def test_a_limit_before_the_fault_never_meets_it(tmp_path, here, monkeypatch):
    monkeypatch.setattr(prepare_run, "ReadOptions", partial(ReadOptions, batch_bytes=100))
    (tmp_path / "in.txt").write_bytes(b"good line\n" * 500 + b"\xff\n" + b"x\n" * 500)
    here(100)
    local, distributed = both(tmp_path, tmp_path / "in.txt", limit=490, block_size=8)
    assert local == distributed


@pytest.mark.parametrize("inputs", [pa.array(TEXTS), "-"])
def test_what_is_in_this_process_alone_is_refused(tmp_path, here, inputs):
    here()
    options = PrepareOptions(tokenizer=tiny_tokenizer(), engine="ray", format="txt")
    with pytest.raises(InputError, match="--engine local"):
        run_prepare(inputs, tmp_path / "out", options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"deduplicate": "exact"},
        {"deduplicate": "exact", "test_size": 0.2, "drop_empty": True, "limit": 1300},
        {"deduplicate": "exact", "filters": "gopher-repetition", "packing": "best_fit"},
        {"shuffle_documents": True, "seed": 5},
        {"shuffle_documents": True, "test_size": 0.3, "test_from": "tail", "limit": 1234},
        {"deduplicate": "exact", "shuffle_documents": True, "test_size": 0.2, "seed": 9},
    ],
    ids=str,
)
def test_duplicates_and_the_shuffled_order_are_those_of_the_local_engine(
    tmp_path, here, monkeypatch, options
):
    """All files hold the same texts, with some twice in one: in many small tasks."""
    monkeypatch.setattr(duplicates, "HASHES_IN_A_TASK", 200)
    monkeypatch.setattr(shuffling, "BUCKET_BYTES", 2000)
    (tmp_path / "in").mkdir()
    inputs = write_inputs(tmp_path / "in")
    here()
    given = {"shard_tokens": 3000, "block_size": 16, "remainder": "pad", **options}
    local, distributed = both(tmp_path, inputs, **given)
    assert local == distributed
    if "deduplicate" in options:
        assert local[1]["duplicate_documents"] > 500
    assert not list(tmp_path.glob(".*"))


def test_documents_stay_in_groups_however_they_are_ordered(tmp_path, here, monkeypatch):
    monkeypatch.setattr(shuffling, "BUCKET_BYTES", 2000)
    rows = [{"text": text, "site": f"site {number % 40}"} for number, text in enumerate(TEXTS * 2)]
    (tmp_path / "in.jsonl").write_bytes(jsonl(*rows))
    here()
    options = {"test_size": 0.3, "test_by": "site", "block_size": 16, "shard_tokens": 3000}
    options |= {"deduplicate": "exact", "shuffle_documents": True}
    local, distributed = both(tmp_path, tmp_path / "in.jsonl", **options)
    assert local == distributed
    assert local[1]["duplicate_documents"] >= len(TEXTS)


def test_the_range_of_hashes_is_divided_without_a_gap():
    assert [duplicates.parts_for(texts) for texts in (0, 1, 1 << 22, (1 << 22) + 1)] == [1, 1, 1, 2]
    assert [shuffling.buckets_for(size) for size in (0, 64 << 20, (64 << 20) + 1)] == [1, 1, 2]
    assert shuffling.buckets_for(1 << 50) == 1024


def test_a_node_that_cannot_work_says_why(tmp_path):
    options = PrepareOptions(tokenizer=tiny_tokenizer(), engine="ray")
    tokenizer = load_tokenizer(tiny_tokenizer())
    given = (ReadOptions(), options, tokenizer, tmp_path / "a", tmp_path)
    versions = versions_of(tokenizer)
    with pytest.raises(InputError, match="on a path that all nodes share"):
        Job(*given, versions).check_here()
    with pytest.raises(InputError, match=r"has tokenizers .* has 0\.1: .* one version"):
        Job(*given, {**versions, "tokenizers": "0.1"}).check_here()


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=6), st.integers(1, 12))
def test_plans_take_every_document_once(lengths, shard_tokens):
    tokens = [sum(share) for share in lengths]
    ends = [np.cumsum(np.array(share, np.int64)) for share in lengths]
    plans = plan_documents(
        [len(share) for share in lengths], tokens, ends.__getitem__, shard_tokens
    )
    shards = [
        [(s.unit, at) for s in plan.slices for at in range(s.start, s.stop)] for plan in plans
    ]
    assert list(chain(*shards)) == [
        (k, at) for k, share in enumerate(lengths) for at in range(len(share))
    ]
    for plan, shard in zip(plans, shards, strict=True):
        held = [lengths[share][at] for share, at in shard]
        assert plan.full == (sum(held) >= shard_tokens)
        assert sum(held[:-1]) < shard_tokens
    sizes = [sum(s.stop - s.start for s in p.slices) for p in plan_tokens(tokens, shard_tokens)]
    assert all(size == shard_tokens for size in sizes[:-1])
    assert sum(sizes) == sum(tokens)
