"""Which documents `prepare` takes, and in which order: duplicates, shuffling, limits, patterns."""

from __future__ import annotations

import collections
import gzip
import random
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import documents, jsonl, tiny_tokenizer
from mlmfast._core import TextHashSet
from mlmfast.data.prepare import run as prepare_run
from mlmfast.data.prepare import shuffle as prepare_shuffle
from mlmfast.data.prepare.api import prepare
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.pipeline import worker_layout
from mlmfast.data.sources.base import ReadOptions
from mlmfast.errors import InputError, NotFoundError
from numbered_documents import numbers_of, prepare_numbered
from our_threads import our_threads

TEXTS = [f"{n} fox" for n in range(400)]


def in_batches_of(size, monkeypatch):
    monkeypatch.setattr(prepare_run, "ReadOptions", partial(ReadOptions, batch_bytes=size))


# Shuffling


def test_documents_are_shuffled_by_the_seed_alone(tmp_path, monkeypatch):
    orders = {}
    for name, seed, batch_bytes, buffer, threads in (
        ("a", 0, 1 << 20, 1 << 20, 1), ("b", 0, 70, 300, 3), ("c", 1, 1 << 20, 1 << 20, 2),
    ):  # fmt: skip
        in_batches_of(batch_bytes, monkeypatch)
        monkeypatch.setattr(prepare_shuffle, "_BUFFER_BYTES", buffer)
        monkeypatch.setattr(prepare_shuffle, "_BUCKET_BYTES", 4 * buffer)
        monkeypatch.setattr(prepare_shuffle, "_UNKNOWN_BYTES", 40 * buffer)
        report = prepare_numbered(
            pa.array(TEXTS), tmp_path / name, shuffle_documents=True, seed=seed, threads=threads,
            shard_tokens=64,
        )  # fmt: skip
        orders[name] = numbers_of(report.stores["train"])
        assert sorted(orders[name]) == list(range(400))
    assert orders["a"] == orders["b"]
    assert orders["a"] != orders["c"]
    shifts = np.diff(orders["a"])
    assert (shifts == 1).sum() < 10
    # A uniform order has a correlation with the old one of 0 +- 1/20.
    assert abs(np.corrcoef(orders["a"], range(400))[0, 1]) < 0.2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_every_order_comes_out_alike(tmp_path):
    counts = collections.Counter(
        tuple(
            numbers_of(
                prepare_numbered(
                    pa.array(TEXTS[:3]), tmp_path / "out", shuffle_documents=True, seed=seed,
                    overwrite=True,
                ).stores["train"]
            )
        )
        for seed in range(60)
    )  # fmt: skip
    assert len(counts) == 6
    assert max(counts.values()) < 25


def test_the_same_documents_are_tested_on_when_shuffled(tmp_path):
    plain = prepare_numbered(pa.array(TEXTS), tmp_path / "plain", test_size=0.2)
    mixed = prepare_numbered(
        pa.array(TEXTS), tmp_path / "mixed", test_size=0.2, shuffle_documents=True
    )
    for name in ("train", "test"):
        ordered = numbers_of(plain.stores[name])
        assert numbers_of(mixed.stores[name]) != ordered
        assert sorted(numbers_of(mixed.stores[name])) == ordered


# Duplicates


def test_a_text_is_taken_once(tmp_path, monkeypatch):
    texts = [TEXTS[random.Random(n).randrange(100)] for n in range(1000)]
    first = list(dict.fromkeys(texts))
    for batch_bytes in (1 << 20, 50):
        in_batches_of(batch_bytes, monkeypatch)
        report = prepare_numbered([pa.array(texts[:300]), pa.array(texts[300:])], tmp_path / "out",
                     deduplicate="exact", overwrite=True)  # fmt: skip
        assert numbers_of(report.stores["train"]) == [int(text.split()[0]) for text in first]
        assert (report.documents, report.duplicates) == (len(first), 1000 - len(first))
    with_nulls = pa.array(["a", None, "a", "", None, "", "b"])
    report = prepare_numbered(with_nulls, tmp_path / "nulls", deduplicate="exact")
    assert (report.documents, report.duplicates, report.null, report.empty) == (3, 2, 2, 2)
    report = prepare_numbered(with_nulls, tmp_path / "full", deduplicate="exact", drop_empty=True)
    assert (report.documents, report.duplicates, report.null, report.empty) == (2, 1, 2, 2)
    with pytest.raises(InputError, match="deduplicate must be one of exact"):
        prepare_numbered(with_nulls, tmp_path / "no", deduplicate="fuzzy")


def test_limit_then_duplicates_then_the_order(tmp_path):
    texts = TEXTS[:5] + TEXTS[:10]
    report = prepare_numbered(
        pa.array(texts), tmp_path / "out", limit=8, deduplicate="exact", shuffle_documents=True
    )
    assert sorted(numbers_of(report.stores["train"])) == [0, 1, 2, 3, 4]
    assert report.duplicates == 3
    source = report.stores["train"].manifest.source
    assert (source["deduplicate"], source["shuffle_documents"]) == ("exact", True)


def test_seen_texts_are_known_again_by_their_hashes():
    texts = pa.array([*documents(200), None], pa.large_string())
    seen = TextHashSet()
    fresh, keys = seen.add(texts.slice(50))
    assert len(keys) == 16 * fresh.sum() == 16 * len(seen)
    again = TextHashSet()
    again.load(keys)
    assert not again.add(texts.slice(50))[0].any()
    expected = set(texts.to_pylist()[:50]) - set(texts.to_pylist()[50:])
    assert again.add(texts)[0].sum() == len(expected)
    with pytest.raises(TypeError, match="LargeString"):
        again.add(pa.array(["a"]))


# Inputs


def test_patterns_reach_into_folders_and_pass_over_them(tmp_path):
    for name in ("b/x.txt", "a/deep/y.txt", "a/z.txt", "c.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")

    def inputs(pattern):
        report = prepare_numbered(str(tmp_path / "in" / pattern), tmp_path / "out", overwrite=True)
        return [
            name.removeprefix(f"{tmp_path}/in/")
            for name in report.stores["train"].manifest.source["inputs"]
        ]

    assert inputs("**/*.txt") == ["a/deep/y.txt", "a/z.txt", "b/x.txt", "c.txt"]
    assert inputs("**") == ["a/deep/y.txt", "a/z.txt", "b/x.txt", "c.txt"]
    assert inputs("*") == ["c.txt"]
    assert inputs("[ab]/*.txt") == ["a/z.txt", "b/x.txt"]
    with pytest.raises(NotFoundError, match="No file matches"):
        prepare_numbered(str(tmp_path / "in" / "a/d*"), tmp_path / "other")


# Progress


class Bar:
    """Stands in for tqdm and remembers."""

    made: list = []  # noqa: RUF012

    def __init__(self, total, initial, unit, desc, disable, **_):
        assert (unit, disable) == ("B", None)
        self.total, self.n, self.desc = total, initial, desc
        Bar.made.append(self)

    def update(self, by):
        assert by >= 0
        self.n += by

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_progress_counts_the_bytes_on_disk_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr("tqdm.tqdm", Bar)
    Bar.made.clear()
    content = jsonl(*({"text": text} for text in TEXTS))
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "c.parquet")
    inputs = sorted(map(str, tmp_path.iterdir()))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    in_batches_of(500, monkeypatch)
    prepare_numbered(inputs, tmp_path / "out", progress=True)
    assert [(bar.desc, bar.n, bar.total) for bar in Bar.made] == [("prepare", size, size)]
    Bar.made.clear()
    prepare_numbered(inputs, tmp_path / "mixed", progress=True, shuffle_documents=True)
    text = 3 * sum(map(len, TEXTS))
    assert [(bar.desc, bar.n, bar.total) for bar in Bar.made] == [
        ("read", size, size), ("prepare", text, text),
    ]  # fmt: skip


@pytest.mark.parametrize("threads", [1, 3])
def test_a_bad_line_stops_all_stages(tmp_path, monkeypatch, threads):
    in_batches_of(200, monkeypatch)
    path = tmp_path / "a.jsonl"
    good = jsonl(*({"text": text} for text in TEXTS))
    path.write_bytes(good + b'{"text": oops}\n' + good)
    before = our_threads()  # such as those of an engine that a fixture has made
    with pytest.raises(InputError, match="line 401: broken JSON"):
        prepare(path, tmp_path / "out", tokenizer=tiny_tokenizer(), threads=threads)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.jsonl"]
    assert our_threads() <= before


@pytest.mark.parametrize(
    ("threads", "verify", "lanes"),
    [
        (1, 0, (1, 1)),
        (2, 0, (2, 1)),
        (6, 0, (4, 2)),
        (16, 0, (4, 4)),
        (64, 0, (16, 4)),
        (6, 1, (1, 6)),
    ],
)
def test_threads_are_spread_over_batches(threads, verify, lanes):
    assert worker_layout(PrepareOptions(tokenizer="x", threads=threads, verify=verify)) == lanes
