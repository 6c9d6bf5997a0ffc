"""Archives and packed files, known by their first bytes, and files that are no text at all."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import jsonl, read
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.open import open_sources
from mlmfast.data.sources.sections import split_source
from mlmfast.errors import InputError

TEXT = b"one\ntwo\nthree\n"
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"


def lz4(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACKED = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
    "lz4": lz4,
}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def parquet(texts):
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), sink)
    return sink.getvalue()


# In an order that is not that of their names, with what hidden files are called.
MEMBERS = {
    "b/c.jsonl": jsonl({"text": "c1"}, {"text": "c2"}),
    "z.csv": b"text\nz1\n",
    "a.txt.gz": gzip.compress(b"a1\na2\n"),
    "b/a.parquet": parquet(["p1", None, "p2"]),
    "b/.hidden.txt": b"hidden\n",
    "__MACOSX/._a.txt": b"hidden\n",
    "b/deeper/x.txt": b"x1",
}
EXPECTED = ["a1", "a2", "z1", "p1", None, "p2", "c1", "c2", "x1"]


def zipped(members, method=zipfile.ZIP_DEFLATED):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return sink.getvalue()


def tarred(members, mode="w"):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return sink.getvalue()


ARCHIVES = {
    "zip": zipped,
    "stored.zip": lambda members: zipped(members, zipfile.ZIP_STORED),
    "tar": tarred,
    "tar.gz": lambda members: tarred(members, "w:gz"),
    "tar.xz": lambda members: tarred(members, "w:xz"),
    "tgz": lambda members: tarred(members, "w:gz"),
    "tar.zst": lambda members: PACKED["zst"](tarred(members)),
}


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


def joined(lists):
    return [text for one in lists for text in one]


def library(kind, path, tmp_path):
    datasets = pytest.importorskip("datasets")
    cache = str(tmp_path / "cache")
    return list(datasets.load_dataset(kind, data_files=path, cache_dir=cache)["train"]["text"])


@pytest.mark.parametrize("suffix", PACKED)
def test_packed_text_is_known_by_its_first_bytes(file, suffix):
    packed = PACKED[suffix](TEXT)
    assert read(file(f"a.txt.{suffix}", packed)) == ["one", "two", "three"]
    assert read(file("a.txt", packed)) == ["one", "two", "three"]
    assert read(file("a.bin", packed), format="txt", policy="replace") == ["one", "two", "three"]
    with pytest.raises(InputError, match="its name says"):
        read(file(f"b.txt.{suffix}", TEXT))
    big = PACKED[suffix](b"".join(b"%d\n" % n for n in range(100_000)))
    with pytest.raises(InputError, match="cut off or damaged"):
        read(file("cut.txt", big[: len(big) // 2]))


@pytest.mark.parametrize("suffix", ["zst", "lz4"])
def test_frames_to_be_skipped(file, suffix):
    packed = SKIPPABLE + PACKED[suffix](TEXT) + SKIPPABLE + PACKED[suffix](b"four\n")
    assert read(file(f"a.txt.{suffix}", packed)) == ["one", "two", "three", "four"]


def test_xz_as_datasets_reads_it(file, tmp_path):
    path = file("a.txt.xz", lzma.compress(TEXT) + lzma.compress(b"four\n"))
    assert read(path) == library("text", path, tmp_path) == ["one", "two", "three", "four"]


@pytest.mark.parametrize("suffix", ARCHIVES)
def test_the_files_of_an_archive_are_read_by_their_names(file, suffix):
    path = file(f"a.{suffix}", ARCHIVES[suffix](MEMBERS))
    assert read(path) == EXPECTED
    assert read(file("a.txt", Path(path).read_bytes()), format=None) == EXPECTED
    source = open_sources(path)[0]
    options = ReadOptions(batch_bytes=4)
    pieces = list(source.pieces(options))
    texts = [piece.decode(options).to_pylist() for piece in pieces]
    assert joined(texts) == EXPECTED
    assert pieces[-1].position <= source.size
    for number, piece in enumerate(pieces):
        location = json.loads(json.dumps(piece.location))
        rest = [one.decode(options).to_pylist() for one in source.pieces(options, location)]
        assert joined(rest) == joined(texts[number:])


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_archives_of_text_are_those_of_datasets(file, tmp_path, suffix):
    members = {"b.txt": b"1\n2\n", "d/a.txt": b"3\n", "a.txt": b"4", "d/.x": b"5", "c": b"6\n"}
    path = file(f"a.{suffix}", ARCHIVES[suffix](members))
    assert read(path, format="txt") == library("text", path, tmp_path)


def test_archives_tell_what_they_leave_out(file, caplog):
    path = file("a.zip", zipped({"a.txt": b"1\n", "LICENSE": b"2\n"}))
    assert read(path) == ["1"]
    assert "left out 1 of the archive's files" in caplog.text
    assert "LICENSE" in caplog.text
    with pytest.raises(InputError, match=r"\(LICENSE\) tell no format: use --format"):
        read(file("b.zip", zipped({"LICENSE": b"2\n"})))
    assert read(file("c.txt.zip", zipped({"c": b"2\n"}))) == ["2"]
    with pytest.raises(InputError, match="it holds no file"):
        read(file("d.zip", zipped({})))


def test_archives_that_cannot_be_read(file, monkeypatch):
    whole = zipped({"a.txt": b"".join(b"%d\n" % n for n in range(50_000))})
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 0xFF
    with pytest.raises(InputError, match=r"a.zip' cannot be read: Bad CRC"):
        read(file("a.zip", bytes(damaged)))
    with pytest.raises(InputError, match=r"The archive .*b.zip' cannot be read"):
        read(file("b.zip", whole[: len(whole) // 2]))
    with pytest.raises(InputError, match="tar archive, which cannot be read"):
        read(file("c.zip", zipped({"a.txt": tarred({"b.txt": b"1"})})))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(whole))))
    with pytest.raises(InputError, match="'standard input' is a zip archive"):
        read("-", format="txt")


def test_an_archive_is_one_section(file):
    (section,) = split_source(open_sources(file("a.zip", zipped(MEMBERS)))[0], 10)
    options = ReadOptions()
    texts = [piece.decode(options).to_pylist() for piece in section.pieces(options)]
    assert joined(texts) == EXPECTED


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.parquet", "a.arrow"])
def test_a_pointer_of_git_lfs_is_no_text(file, name):
    with pytest.raises(InputError, match=r"pointer of Git LFS.*git lfs pull"):
        read(file(name, POINTER))


def test_what_is_no_text_is_named(file, caplog):
    for content, words in (
        (parquet(["a"]), "is a Parquet file: use --format parquet"),
        (b"%PDF-1.7\n...", "is a PDF"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(20), "7z archive"),
        (b"Rar!\x1a\x07\x01\0" + bytes(20), "RAR archive"),
    ):
        for name in ("a.txt", "a.csv", "a.jsonl"):
            with pytest.raises(InputError, match=words):
                read(file(name, content), policy="replace")
    assert read(file("a.txt", b"fine\nnu\0l\n")) == ["fine", "nu\0l"]
    assert "NUL bytes, the first on line 2" in caplog.text
    with pytest.raises(InputError, match=r"line 1: invalid UTF-8.*binary file"):
        read(file("a.txt", b"\xff\0\1\2"))
