"""`prepare` with deduplicate="near": what is kept, counted, split and resumed."""

from __future__ import annotations

import json
import logging
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpus import jsonl, tiny_tokenizer
from mlmfast.data.prepare import run as prepare_run
from mlmfast.data.prepare.near import segments
from mlmfast.data.prepare.near.search import NearSearch
from mlmfast.data.prepare.near.segments import Segments
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.prepare.split import is_test_document
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.store.store import open_splits
from mlmfast.data.tokenization.encoder import TextEncoder
from mlmfast.errors import InputError
from near_texts import corpus, duplicates_of, jaccard
from prepare_runs import dies, files_of, hidden, killed

TEXTS = corpus()
DUPLICATES = duplicates_of(TEXTS)
KEPT = [text for number, text in enumerate(TEXTS) if number not in DUPLICATES]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Batches of a few documents, and files of the keys of some more."""
    monkeypatch.setattr(prepare_run, "ReadOptions", partial(ReadOptions, batch_bytes=1500))
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 168 * 15)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The blocks of the documents that are to be kept."""
    return run(pa.array(KEPT), tmp_path_factory.mktemp("expected") / "out", deduplicate=None)


@pytest.fixture
def files(tmp_path):
    """The documents in two files; some have no text."""
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    paths[0].write_bytes(
        jsonl({"text": None}, *({"text": text} for text in TEXTS[:50]), {"text": None})
    )
    paths[1].write_bytes(jsonl(*({"text": text} for text in TEXTS[50:])))
    return [str(path) for path in paths]


def run(inputs, out, **more):
    options = {"tokenizer": tiny_tokenizer(), "block_size": 16, "deduplicate": "near",
               "shard_tokens": 4000, **more}  # fmt: skip
    return run_prepare(inputs, out, PrepareOptions(**options))


def blocks(report, split="train"):
    return report.stores[split][:]


@pytest.mark.parametrize(
    ("threads", "batch_bytes", "segment_bytes"),
    [(1, 1 << 20, 1 << 20), (2, 700, 4000), (3, 90, 2000)],
)
def test_the_first_of_each_cluster_is_kept_whatever_the_threads_and_batches(
    files, tmp_path, monkeypatch, expected, threads, batch_bytes, segment_bytes
):
    monkeypatch.setattr(prepare_run, "ReadOptions", partial(ReadOptions, batch_bytes=batch_bytes))
    monkeypatch.setattr(segments, "SEGMENT_BYTES", segment_bytes)
    report = run(files, tmp_path / "out", threads=threads)
    np.testing.assert_array_equal(blocks(report), blocks(expected))
    assert (report.documents, report.duplicates, report.null) == (len(KEPT), len(DUPLICATES), 2)
    assert hidden(tmp_path) == []


def test_counts_and_options_are_reported(files, tmp_path):
    report = run(files, tmp_path / "out")
    assert report.as_dict()["duplicate_documents"] == len(DUPLICATES)
    manifest = json.loads((tmp_path / "out" / "mlmfast.json").read_text())
    source = manifest["source"]
    assert source["deduplicate"] == "near"
    assert (source["near_ngram"], source["near_threshold"]) == (5, 0.8)
    assert source["duplicate_documents"] == len(DUPLICATES)
    assert manifest["documents"] == len(KEPT)


def test_a_stream_that_is_read_once_is_kept_on_disk(tmp_path, expected):
    table = pa.table({"text": TEXTS})
    stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7))
    for number, given in enumerate((pa.array(TEXTS), stream)):
        report = run(given, tmp_path / f"out{number}", threads=2)
        np.testing.assert_array_equal(blocks(report), blocks(expected))
        assert (report.documents, report.duplicates) == (len(KEPT), len(DUPLICATES))
        assert hidden(tmp_path) == []


def test_nulls_empty_and_limited_documents_are_as_with_exact(tmp_path):
    texts = pa.array(["a", None, "a", "", None, "", "b", "b"])
    for more in ({}, {"drop_empty": True}, {"limit": 4}, {"shuffle_documents": True}):
        more |= {"remainder": "pad"}
        near, exact = (
            run(texts, tmp_path / kind, deduplicate=kind, overwrite=True, **more).as_dict()
            for kind in ("near", "exact")
        )
        for report in (near, exact):
            for name in (
                "output",
                "splits",
                "seconds",
                "megabytes_per_second",
                "tokens_per_second",
            ):
                del report[name]
        assert near == exact
        assert near["duplicate_documents"] == (1 if "limit" in more else 3 - ("drop_empty" in more))


def test_the_order_is_shuffled_without_the_duplicates(files, tmp_path):
    report = run(files, tmp_path / "out", shuffle_documents=True, packing="none")
    assert (report.documents, report.duplicates) == (len(KEPT), len(DUPLICATES))
    again = run(pa.array(TEXTS), tmp_path / "again", shuffle_documents=True, packing="none")
    rows = {tuple(row) for row in blocks(report).tolist()}
    assert rows == {tuple(row) for row in blocks(again).tolist()}
    plain = run(pa.array(KEPT), tmp_path / "plain", deduplicate=None, packing="none")
    assert rows == {tuple(row) for row in blocks(plain).tolist()}
    assert blocks(report).tolist() != blocks(plain).tolist()


def test_no_near_duplicate_of_a_test_document_is_trained_on(tmp_path):
    numbers = np.arange(len(TEXTS), dtype=np.uint64)
    in_test = is_test_document(numbers, test_size=0.4, seed=3)

    def leaks(kept):
        return [
            (one, other)
            for one in kept
            for other in kept
            if in_test[one] and not in_test[other] and jaccard(TEXTS[one], TEXTS[other]) >= 0.8
        ]

    assert len(leaks(range(len(TEXTS)))) > 10
    kept = [number for number in range(len(TEXTS)) if number not in DUPLICATES]
    assert leaks(kept) == []
    report = run(pa.array(TEXTS), tmp_path / "out", test_size=0.4, seed=3)
    for name, chosen in (("train", False), ("test", True)):
        texts = pa.array([TEXTS[number] for number in kept if in_test[number] == chosen])
        alone = run(texts, tmp_path / name, deduplicate=None)
        np.testing.assert_array_equal(blocks(report, name), blocks(alone))


def test_groups_of_a_stream_stay_together(tmp_path):
    sites = [f"site {number % 9}" for number in range(len(TEXTS))]
    table = pa.table({"text": TEXTS, "site": sites})
    report = run(table, tmp_path / "out", test_size=0.4, test_by="site", packing="none")
    kept = pa.table({"text": KEPT, "site": [sites[TEXTS.index(text)] for text in KEPT]})
    plain = run(
        kept, tmp_path / "plain", test_size=0.4, test_by="site", packing="none", deduplicate=None
    )
    for name in ("train", "test"):
        np.testing.assert_array_equal(blocks(report, name), blocks(plain, name))


# Resuming


def interrupts(monkeypatch, owner, name, count):
    """Let a method raise KeyboardInterrupt when it is called for the `count`-th time."""
    real, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)


@pytest.mark.parametrize(
    ("place", "more"),
    [
        ((Segments, "write", 4), {}),
        ((NearSearch, "_cluster", 1), {}),
        ((NearSearch, "_cluster", 1), {"shuffle_documents": True, "test_size": 0.3}),
    ],
)
def test_an_interrupted_search_goes_on(files, tmp_path, monkeypatch, caplog, place, more):
    whole = run(files, tmp_path / "whole", **more)
    with monkeypatch.context() as patch:
        interrupts(patch, *place)
        with pytest.raises(
            KeyboardInterrupt, match=r"keys of .* documents are kept in .*--no-resume"
        ):
            run(files, tmp_path / "out", threads=2, **more)
    keyed = []
    real = NearSearch._keyed

    def counted(self, batch):
        keyed.extend(batch.numbers.tolist())
        return real(self, batch)

    monkeypatch.setattr(NearSearch, "_keyed", counted)
    caplog.set_level(logging.INFO, "mlmfast")
    report = run(files, tmp_path / "out", threads=1, **more)
    assert "near-duplicates' keys of" in caplog.text
    assert len(keyed) == len(set(keyed))
    assert len(keyed) < len(TEXTS) - 40
    assert bool(keyed) == (place[0] is Segments)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert report.duplicates == whole.duplicates
    assert hidden(tmp_path) == []


def test_interrupted_while_tokenizing_nothing_is_compared_again(files, tmp_path, monkeypatch):
    run(files, tmp_path / "whole")
    with monkeypatch.context() as patch:
        dies(patch, KeyboardInterrupt(), after=15)
        with pytest.raises(KeyboardInterrupt, match="finished shard"):
            run(files, tmp_path / "out")
    with monkeypatch.context() as patch:
        dies(patch, KeyboardInterrupt(), after=2)
        with pytest.raises(KeyboardInterrupt):
            run(files, tmp_path / "out")
    monkeypatch.setattr(NearSearch, "_keyed", None)
    report = run(files, tmp_path / "out")
    assert report.kept_shards > 0
    assert report.duplicates == len(DUPLICATES)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("segment", "segment-000001.bin' is not what was written"),
        ("duplicates", "duplicates.bin' is not what was written"),
        ("last input", "b.jsonl' has changed"),
        ("threshold", "near_threshold has changed from 0.8 to 0.7"),
    ],
)
def test_what_does_not_fit_any_more_is_searched_anew(
    files, tmp_path, monkeypatch, caplog, change, said
):
    place = (TextEncoder, "encode", 1) if change == "duplicates" else (Segments, "write", 4)
    with monkeypatch.context() as patch:
        interrupts(patch, *place)
        with pytest.raises(KeyboardInterrupt):
            run(files, tmp_path / "out")
    folder = tmp_path / ".out.partial-prepare" / "near"
    more = {}
    if change == "segment":
        path = folder / "segment-000001.bin"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif change == "duplicates":
        (folder / "duplicates.bin").write_bytes(b"")
    elif change == "last input":
        path = Path(files[1])
        path.write_bytes(path.read_bytes() + jsonl({"text": "one more"}))
    else:
        more["near_threshold"] = 0.7
    run(files, tmp_path / "out", **more)
    warned = [record.message for record in caplog.records]
    assert [said in message and "Starting over" in message for message in warned] == [True]
    run(files, tmp_path / "whole", **more)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise")
def test_killed_at_any_moment_the_bytes_are_the_same_in_the_end(files, tmp_path):
    given = {"tokenizer": tiny_tokenizer(), "block_size": 16, "deduplicate": "near",
             "shard_tokens": 4000, "test_size": 0.3}  # fmt: skip
    for where, count in (("segment", 3), ("cluster", 1), ("save", 4)):
        killed(where, count, files, tmp_path / "out", **given)
    report = run(files, tmp_path / "out", test_size=0.3)
    run(files, tmp_path / "whole", test_size=0.3)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert report.duplicates == len(DUPLICATES)
    for store in open_splits(tmp_path / "out").values():
        store.verify()


# Options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"deduplicate": "near", "near_threshold": 0.4},
            "near_threshold must lie between 0.5 and 1",
        ),
        ({"deduplicate": "near", "near_ngram": 0}, "near_ngram must be a whole number from 1 up"),
        ({"deduplicate": "exact", "near_ngram": 3}, "go with deduplicate='near'"),
        ({"near_threshold": 0.9}, "go with deduplicate='near'"),
    ],
)
def test_options_are_checked_before_anything_is_read(options, said):
    with pytest.raises(InputError, match=said):
        PrepareOptions(tokenizer="gone", **options)


def test_more_documents_than_numbers_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mlmfast.data.prepare.near.keys._MOST_DOCUMENTS", 100)
    with pytest.raises(
        InputError, match="up to 100 documents at a time: prepare the text in parts"
    ):
        run(pa.array(TEXTS), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
