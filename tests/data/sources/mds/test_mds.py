"""Folders of MDS shards: `tests/golden/mds` was written by mosaicml-streaming 0.13.0."""

from __future__ import annotations

import json
import shutil

import pytest

from corpus import read
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.group_column import group_values
from mlmfast.data.sources.labelled import read_labelled
from mlmfast.data.sources.open import open_sources
from mlmfast.data.sources.sections import split_source
from mlmfast.errors import InputError, NotFoundError
from places import GOLDEN

MDS = GOLDEN / "mds"
TEXTS = [
    "first fox",
    "",
    "Äpfel für 東京 🦊",
    "two\nlines\r\n",
    "a longer text of many words " * 3,
    "last",
]


@pytest.fixture
def shards(tmp_path):
    """A copy of the shards without compression, to damage."""
    return shutil.copytree(MDS / "plain", tmp_path / "mds")


@pytest.mark.parametrize("compression", ["plain", "zstd", "br", "gz", "bz2", "snappy"])
@pytest.mark.parametrize("batch_bytes", [20, 1 << 20])
def test_the_files_of_the_library(compression, batch_bytes):
    assert read(MDS / compression, batch_bytes=batch_bytes) == TEXTS


def test_every_kind_of_column_that_holds_text():
    assert read(MDS / "plain", "raw") == TEXTS
    assert read(MDS / "plain", "meta.site") == ["s0", "s1", "s2", "s0", "s1", "s2"]
    assert read(MDS / "plain", "meta.list") == [f"{text} {text}" for text in TEXTS]


def test_labels_and_groups():
    for column, labels in (
        ("id", ["0", "1", "1", "2", "2"]),
        ("year", [str(2000 + n) for n in (0, 2, 3, 4, 5)]),
        ("score", ["0.0", "1.0", "1.5", "2.0", "2.5"]),
        ("meta.site", ["s0", "s2", "s0", "s1", "s2"]),
    ):
        options = ReadOptions(group_column=column, batch_bytes=20)
        (source,) = open_sources(MDS / "plain")
        found = []
        for piece in source.pieces(options):
            texts = piece.decode(options)
            groups = group_values(piece.groups, texts, options)
            found += [
                group
                for text, group in zip(texts.to_pylist(), groups.to_pylist(), strict=True)
                if text
            ]
        assert found == labels, column
    with pytest.raises(InputError, match="no text in the column"):
        read_labelled(MDS / "plain", "id", ReadOptions())


def test_every_piece_can_be_the_first():
    for name in ("plain", "zstd"):
        (source,) = open_sources(MDS / name)
        options = ReadOptions(batch_bytes=20)
        pieces = list(source.pieces(options))
        assert pieces[-1].position == source.size
        for number, piece in enumerate(pieces):
            again = source.pieces(options, json.loads(json.dumps(piece.location)))
            texts = [text for one in again for text in one.decode(options).to_pylist()]
            before = sum(len(one.decode(options)) for one in pieces[:number])
            assert texts == TEXTS[before:]


def test_shards_are_sections(tmp_path, monkeypatch):
    shutil.copytree(MDS / "plain", tmp_path / "mds")
    monkeypatch.chdir(tmp_path)
    (source,) = open_sources("mds")
    sections = split_source(source, 1400)
    assert len(sections) == 3
    monkeypatch.chdir("/")  # as in another process
    options = ReadOptions()
    found = [
        text
        for section in sections
        for piece in section.pieces(options)
        for text in piece.decode(options).to_pylist()
    ]
    assert found == TEXTS
    assert sum(section.size for section in sections) == source.size


def test_the_fingerprint_follows_the_files(shards):
    def fingerprint():
        return open_sources(shards)[0].fingerprint()

    before = fingerprint()
    assert before == fingerprint() is not None
    (shards / "shard.00001.mds").touch()
    assert fingerprint() != before


def test_what_is_no_text_is_refused():
    for column, message in (
        ("tokens", r"numbers \(ndarray:uint16\).*mlmfast convert --to store"),
        ("id", "holds int, not text"),
        ("meta", r"sample 1: .* such as 'meta\.site'"),
        ("text.a", r"holds str, not text|no column"),
        ("none", "no column 'none'.*'text'"),
    ):
        with pytest.raises(InputError, match=message):
            read(MDS / "plain", column)


def test_damage_is_named(shards):
    path = shards / "shard.00002.mds"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=r"shard\.00002\.mds' has 572 bytes, and .* says 573"):
        read(shards)
    # The number of samples, an offset, and the length of a value.
    for at in (0, 4, len(whole) - 300):
        for value in (0, 0xFF):
            path.write_bytes(whole[:at] + bytes([value] * 4) + whole[at + 4 :])
            try:
                read(shards, policy="replace")
            except InputError as error:
                assert "shard.00002.mds" in str(error)  # noqa: PT017 - may also be harmless
    path.unlink()
    with pytest.raises(NotFoundError, match=r"no shard .*shard\.00002\.mds"):
        read(shards)


def test_a_damaged_compressed_shard_is_named(tmp_path):
    for compression in ("zstd", "br", "gz", "bz2", "snappy"):
        folder = shutil.copytree(MDS / compression, tmp_path / compression)
        path = folder / f"shard.00000.mds.{compression}"
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(InputError, match=r"shard\.00000\.mds.*cut off or damaged"):
            read(folder)


def test_splits_are_named(tmp_path):
    for name in ("val", "train"):
        shutil.copytree(MDS / "zstd", tmp_path / name)
    with pytest.raises(InputError, match=r"shards in train, val: .* such as '.*/train'"):
        read(tmp_path)
    assert read([tmp_path / "train", tmp_path / "val"]) == TEXTS * 2


def test_other_indexes(tmp_path):
    index = tmp_path / "index.json"
    index.write_text('{"version": 2, "shards": [{"format": "mds", "version": 1}]}')
    with pytest.raises(InputError, match=r"version 1\); MDS \(version 2\)"):
        read(tmp_path)
    index.write_text('{"version": 2, "shards": [{"format": "mds", "version": 2}]}')
    with pytest.raises(InputError, match="no whole index of shards"):
        read(tmp_path)
    index.write_text('{"version": 2, "shards": []}')
    with pytest.raises(InputError, match="lists no shard"):
        read(tmp_path)
    index.write_text('{"pages": []}')
    with pytest.raises(InputError, match=r"neither one of `datasets` nor of MDS"):
        read(tmp_path)
