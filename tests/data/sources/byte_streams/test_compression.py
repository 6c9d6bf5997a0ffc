from __future__ import annotations

import gzip
import io
import random
import sys
import zlib

import pyarrow as pa
import pytest

from corpus import read
from mlmfast.data.sources.byte_streams.compression import decompress
from mlmfast.errors import InputError

TEXT = "".join(f"{random.Random(0).random()} line {n}\n" for n in range(60_000)).encode()


@pytest.fixture(params=["isal", "arrow"])
def library(request, monkeypatch):
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    return request.param


def unpack(data, packing, size):
    stream = decompress(io.BufferedReader(io.BytesIO(data)), packing)
    parts = []
    while part := stream.read(size):
        assert len(part) <= size
        parts.append(part)
    return b"".join(parts)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_members_that_follow_each_other_are_one_stream(size):
    text = TEXT[:3000] if size == 1 else TEXT
    half = len(text) // 2
    members = [gzip.compress(part) for part in (text[:half], b"", text[half:])]
    assert unpack(b"".join(members), "gzip", size) == text
    stored = zlib.compressobj(0, wbits=31)
    assert unpack(stored.compress(text) + stored.flush(), "gzip", size) == text


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("cut", [3, 12, 1000, -9, -8, -1])
def test_a_file_that_was_cut_off_is_an_error(cut, tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(TEXT)[:cut])
    with pytest.raises(InputError, match=r"a\.txt\.gz' cannot be unpacked; it was cut off"):
        read(str(path))


@pytest.mark.usefixtures("library")
def test_a_damaged_file_is_an_error(tmp_path):
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 1  # of the checksum
    path = tmp_path / "a.txt.gz"
    path.write_bytes(packed)
    with pytest.raises(InputError, match="cannot be unpacked"):
        read(str(path))


def test_zeros_after_the_last_member_are_no_member():
    pytest.importorskip("isal")
    assert unpack(gzip.compress(TEXT) + bytes(1000), "gzip", 1 << 16) == TEXT


def test_zstd_frames_that_follow_each_other_are_one_stream(tmp_path):
    half = len(TEXT) // 2
    frames = [pa.compress(part, "zstd", asbytes=True) for part in (TEXT[:half], TEXT[half:])]
    assert unpack(b"".join(frames), "zstd", 1 << 16) == TEXT
    path = tmp_path / "a.txt.zst"
    path.write_bytes(b"".join(frames)[:-20])
    with pytest.raises(InputError, match="cut off or damaged"):
        read(str(path))
