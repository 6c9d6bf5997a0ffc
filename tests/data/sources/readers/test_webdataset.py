"""WebDataset archives: `tests/golden/webdataset.tar.gz` was written by webdataset 1.0.2."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile

import pytest

from corpus import read
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.group_column import group_values
from mlmfast.data.sources.open import open_sources
from mlmfast.data.sources.sections import split_source
from mlmfast.errors import InputError
from places import GOLDEN

LIBRARYS_OWN = GOLDEN / "webdataset.tar.gz"
TEXTS = ["first fox", "", "Äpfel für 東京 🦊", "two\nlines\r\n", "last"]


def fields(archive, column, **how):
    return read(archive, column, format="webdataset", **how)


def write(path, samples, mode="w"):
    """Write (name, bytes) pairs in their order."""
    with tarfile.open(path, mode) as tar:
        for name, data in samples:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def shard(tmp_path):
    """Samples of several files; some names are longer than a tar header has room for."""
    long = "folder/" + "x" * 150
    return write(
        tmp_path / "shard.tar",
        [
            ("__meta__.json", b"{}"),
            *(
                (f"{long}/{n:03}.{suffix}", data)
                for n in range(30)
                for suffix, data in (
                    ("TXT", f"text {n}".encode()),
                    ("seg.txt.gz", gzip.compress(b"segments %d" % n)),
                    ("json", json.dumps({"a": {"b": f"b{n}"}, "n": n}).encode()),
                    ("jpg", b"\xff\xd8" * 100),
                )
            ),
        ],
    )


def test_the_files_of_the_library():
    found = fields(LIBRARYS_OWN, "txt", batch_bytes=12)
    assert found == [*TEXTS[:3], None, TEXTS[4]]  # the fourth sample has no .txt
    assert fields(LIBRARYS_OWN, "json.text") == TEXTS
    assert fields(LIBRARYS_OWN, "seg.txt") == [None, None, "Äpfel für 東京 🦊 seg", None, None]
    assert fields(LIBRARYS_OWN, "__key__") == [f"part.d/{n:03}" for n in range(5)]


def test_fields_of_samples(shard):
    assert fields(shard, "txt", batch_bytes=40) == [f"text {n}" for n in range(30)]
    assert fields(shard, "seg.txt") == [f"segments {n}" for n in range(30)]
    assert fields(shard, "json.a.b") == [f"b{n}" for n in range(30)]


@pytest.mark.parametrize("packed", [False, True])
def test_every_piece_can_be_the_first(shard, tmp_path, packed):
    if packed:
        (tmp_path / "shard.tar.gz").write_bytes(gzip.compress(shard.read_bytes()))
        shard = tmp_path / "shard.tar.gz"
    (source,) = open_sources(shard, format="webdataset")
    options = ReadOptions("txt", batch_bytes=50, group_column="json.n")
    pieces = list(source.pieces(options))
    assert len(pieces) > 4
    assert [piece.position for piece in pieces] == sorted(piece.position for piece in pieces)
    for number, piece in enumerate(pieces):
        again = list(source.pieces(options, json.loads(json.dumps(piece.location))))
        assert [one.location for one in again] == [one.location for one in pieces[number:]]
        texts = piece.decode(options)
        groups = group_values(piece.groups, texts, options).to_pylist()
        assert [f"text {group}" for group in groups] == texts.to_pylist()
        assert again[0].decode(options) == texts
    assert len(split_source(source, 1000)) == 1


def test_a_pipe(shard, monkeypatch):
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(shard.read_bytes())))
    monkeypatch.setattr(sys, "stdin", stream)
    assert fields("-", "txt") == [f"text {n}" for n in range(30)]


def test_what_is_wrong_is_named(shard, tmp_path):
    with pytest.raises(InputError, match=r"no column 'text'.*'txt', 'seg\.txt\.gz', 'json', 'jpg'"):
        fields(shard, "text")
    with pytest.raises(InputError, match=r"000\.json: the column 'json' holds .* such as 'json\.a"):
        fields(shard, "json")
    with pytest.raises(InputError, match=r"000\.json: the column 'json\.n' holds 0, not text"):
        fields(shard, "json.n")
    with pytest.raises(InputError, match=r"no column 'site'.* --test-by"):
        fields(shard, "txt", reading={"group_column": "site"})
    with pytest.raises(InputError, match=r"001: invalid UTF-8|001\.txt: invalid UTF-8"):
        fields(write(tmp_path / "b.tar", [("000.txt", b"a"), ("001.txt", b"\xff")]), "txt")
    (tmp_path / "cut.tar").write_bytes(shard.read_bytes()[:-20_000])
    with pytest.raises(InputError, match="no whole tar archive"):
        fields(tmp_path / "cut.tar", "txt")
    (tmp_path / "no.tar").write_bytes(b"this is no archive" * 100)
    with pytest.raises(InputError, match="no whole tar archive"):
        fields(tmp_path / "no.tar", "txt")
    packed = write(tmp_path / "p.tar", [("0.txt.gz", gzip.compress(b"text")[:-4])])
    with pytest.raises(InputError, match=r"0\.txt\.gz cannot be unpacked"):
        fields(packed, "txt")
