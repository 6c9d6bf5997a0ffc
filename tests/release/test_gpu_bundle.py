"""The bundle for a GPU machine: parts of a size, which are one archive once they are joined."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile

import pytest

import gpu_bundle


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A folder of two wheels, and the bundle that was written of them in parts of 10,000 bytes."""
    wheels, output = tmp_path / "wheels", tmp_path / "bundle"
    wheels.mkdir()
    output.mkdir()
    for name in ("one.whl", "two.whl"):
        (wheels / name).write_bytes(os.urandom(17_000))
    monkeypatch.setattr(gpu_bundle, "tree", lambda: b"the tests and measurements")
    return wheels, output, gpu_bundle.write(output, wheels, 10_000)


def test_the_parts_are_one_archive(bundle):
    wheels, output, parts = bundle
    assert all(part.stat().st_size <= 10_000 for part in parts)
    # As `cat bundle.??` has them.
    assert parts == sorted(output.glob("bundle.??"))
    joined = io.BytesIO(b"".join(part.read_bytes() for part in parts))
    with tarfile.open(fileobj=joined) as archive:
        for wheel in wheels.iterdir():
            assert archive.extractfile(f"wheels/{wheel.name}").read() == wheel.read_bytes()
        assert archive.extractfile("tree.tar").read() == b"the tests and measurements"


def test_a_damaged_part_is_found_before_anything_is_installed(bundle, tmp_path):
    _, output, parts = bundle
    sums = (output / "SHA256SUMS").read_text().splitlines()
    assert sums == [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}" for p in parts]
    parts[1].write_bytes(b"cut short")
    command = ["sh", str(output / "unpack.sh"), str(output), str(tmp_path / "target"), "no-python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "bundle.01" in done.stdout + done.stderr
    assert not list((tmp_path / "target").iterdir())


def test_what_the_machine_has_is_not_carried(tmp_path, monkeypatch):
    asked = []

    def resolve(requirements, *_settings):
        asked.append(requirements)
        everything = {"torch": "2.11.0", "numpy": "2.4.0", "mlmfast": "1.0.0", "orjson": "3.11.0"}
        return everything if len(asked) == 1 else {"torch": "2.11.0", "numpy": "2.4.0"}

    monkeypatch.setattr(gpu_bundle, "resolve", resolve)
    found = gpu_bundle.carried(tmp_path / "mlmfast.whl", "3.12", ["torch==2.11.0"])
    assert found == {"mlmfast": "1.0.0", "orjson": "3.11.0"}
    assert "onnxruntime-gpu" in asked[0]
    assert asked[1] == ["torch==2.11.0"]
