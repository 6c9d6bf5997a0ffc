"""A file that is hashed while it is written."""

from __future__ import annotations

import array
import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from mlmfast.fs.checksums import file_sha256
from mlmfast.fs.hashed_file import HashedFile


def test_the_checksum_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "written"
    parts = [b"", b"ab", bytes(range(256)) * 20_000, memoryview(array.array("H", [1, 2, 65535]))]
    with HashedFile(path) as file:
        assert [file.write(part) for part in parts] == [0, 2, 5_120_000, 6]
        file.sync()
        assert file.sha256() == file_sha256(path)
        assert file.write(b"more") == 4
        assert file.sha256() == file_sha256(path)
    assert path.read_bytes() == b"".join(bytes(part) for part in parts) + b"more"
    assert file.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_arrow_writes_to_it_what_it_writes_to_any_file(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([[1, 2], [], [3]]), "b": ["x", "y", None]})
    path = tmp_path / "written.arrow"
    with HashedFile(path) as file:
        with pa.ipc.new_stream(pa.PythonFile(file, "w"), table.schema) as writer:
            writer.write_table(table)
        file.sync()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert path.read_bytes() == sink.getvalue().to_pybytes()


def test_a_full_disk_is_an_error_and_closes_the_file() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no device that is always full")
    with pytest.raises(OSError, match="No space left"), HashedFile(full) as file:
        file.write(b"x" * 5000)
    assert file.closed
