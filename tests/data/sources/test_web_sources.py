"""Text at the URLs of a web server."""

from __future__ import annotations

import gzip
import io
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import documents
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.open import open_sources, read_texts
from mlmfast.errors import InputError, NotFoundError
from mlmfast.fs.remote import reading
from mlmfast.fs.remote.listing import matching_files
from web_server import web_server

TEXTS = documents(300)
LINES = "".join(f"{text}\n" for text in TEXTS).encode()
PART = 1 << 12


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("aiohttp", reason="needs aiohttp: pip install aiohttp")
    with web_server() as web:
        yield web


@pytest.fixture
def web(server, monkeypatch):
    monkeypatch.setattr("mlmfast.fs.remote.faults.FIRST_PAUSE", 0.0)
    monkeypatch.setattr("mlmfast.fs.remote.reading._PART_BYTES", PART)
    monkeypatch.setattr("mlmfast.fs.remote.reading._FIRST_BYTES", PART)
    server.files = {"/a.txt": LINES, "/b.txt.gz": gzip.compress(LINES)}
    server.knows_ranges, server.denied = True, False
    yield server
    server.proxy.mend()


def read(url):
    return [
        text for array in read_texts(open_sources(url), ReadOptions()) for text in array.to_pylist()
    ]


def test_files_are_read_in_parts_and_a_broken_connection_is_resumed(web):
    assert read(f"{web.url}/b.txt.gz") == TEXTS
    before = web.proxy.cuts
    web.proxy.cut(after=PART + 1000, times=2)
    assert read(f"{web.url}/a.txt") == TEXTS
    assert web.proxy.cuts == before + 2


def test_after_a_reader_is_closed_nothing_is_tried_again(web, monkeypatch):
    fetch, begun, cut = reading._fetch, [], threading.Event()

    def fetch_until_cut(system, path, start, stop, file):
        begun.append(start)
        if start < 3 * PART:
            return fetch(system, path, start, stop, file)
        cut.wait(30)
        raise ConnectionResetError("cut")

    monkeypatch.setattr(reading, "_fetch", fetch_until_cut)
    [file] = matching_files(f"{web.url}/a.txt")
    reader = reading.RemoteReader(file)
    for _ in range(3):
        reader.readinto(bytearray(PART))
    ahead = reader._pool
    reader.close()
    cut.set()
    ahead.shutdown(wait=True)
    assert len(begun) > 3  # something was read ahead
    assert len(begun) == len(set(begun))


def test_of_parquet_the_column_is_read(web):
    out = io.BytesIO()
    filler = [bytes([n % 251]) * 4000 for n in range(300)]
    table = pa.table({"filler": filler, "text": TEXTS})
    pq.write_table(table, out, compression="none", use_dictionary=False)
    web.files["/c.parquet"] = out.getvalue()
    before = web.proxy.passed
    assert read(f"{web.url}/c.parquet") == TEXTS
    assert web.proxy.passed - before < len(out.getvalue()) / 4


def test_secrets_of_a_url_are_not_kept(web):
    address = web.url.removeprefix("http://")
    [source] = open_sources(f"http://me:word@{address}/a.txt?signature=secret")
    assert source.name == f"{web.url}/a.txt"
    assert source.fingerprint()["name"] == f"{web.url}/a.txt"
    assert sum(len(piece.decode(ReadOptions())) for piece in source.pieces(ReadOptions())) == 300


def test_no_message_has_the_secrets_of_a_url(web, caplog):
    caplog.set_level("INFO", logger="mlmfast")
    url = f"{web.url}/a.txt?signature=secret".replace("http://", "http://me:word@")
    web.denied = True
    with pytest.raises(InputError) as denied:
        open_sources(url)
    web.denied = False
    web.proxy.break_down(after=0)
    with pytest.raises(InputError) as broken:
        open_sources(url)
    told = [str(denied.value), str(broken.value), *caplog.messages]
    assert any("trying again" in each for each in told)
    for each in told:
        assert f"{web.url}/a.txt" in each
        assert "secret" not in each
        assert "word" not in each


def test_errors_name_the_url(web):
    with pytest.raises(NotFoundError, match=r"nothing at 'http.*/none\.txt'"):
        open_sources(f"{web.url}/none.txt")
    web.denied = True
    with pytest.raises(InputError, match=r"/a\.txt' may not be accessed: .*403"):
        open_sources(f"{web.url}/a.txt")
    web.denied, web.knows_ranges = False, False
    with pytest.raises(InputError, match=r"/a\.txt' does not know byte ranges.*Download"):
        read(f"{web.url}/a.txt")
    web.proxy.break_down(after=0)
    with pytest.raises(InputError, match=r"/a\.txt' cannot be accessed"):
        open_sources(f"{web.url}/a.txt")
