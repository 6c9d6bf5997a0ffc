"""The cache of exports behind MODEL, wanted by two processes at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlmfast.cli._model_folder import model_folder
from mlmfast.errors import InputError

# An export that says when it has begun, and ends when a line comes on standard input.
CHILD = """
import sys
from pathlib import Path
import mlmfast.exporting.export as exporting
from mlmfast.cli._model_folder import model_folder
from mlmfast.fs.atomic import atomic_output_dir

def export(checkpoint, output, task):
    with atomic_output_dir(output, overwrite=False, is_ours=lambda folder: False) as folder:
        (folder / "config.json").write_text("{}")
        print("exporting", flush=True)
        sys.stdin.readline()

exporting.export = export
print(model_folder(sys.argv[1], quiet=False), flush=True)
"""


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    return folder


@pytest.fixture
def start(checkpoint):
    """A function that starts one more process which wants the export."""
    started = []

    def start() -> subprocess.Popen[str]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [sys.executable, "-c", CHILD, str(checkpoint)]
        started.append(subprocess.Popen(command, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_process_waits_and_exports_nothing(start):
    first = start()
    assert first.stdout.readline() == "exporting\n"
    second = start()
    assert "Another process is exporting" in second.stderr.readline()
    folder = first.communicate("go\n")[0].strip()
    assert (Path(folder) / "config.json").is_file()
    assert second.communicate() == (f"{folder}\n", "")
    assert [file.name for file in Path(folder).parent.iterdir()] == [Path(folder).name]


def test_a_killed_process_leaves_neither_a_lock_nor_its_files(start):
    first = start()
    assert first.stdout.readline() == "exporting\n"
    second = start()
    assert "Another process is exporting" in second.stderr.readline()
    first.kill()
    first.wait()
    assert second.stdout.readline() == "exporting\n"
    folder = second.communicate("go\n")[0].strip()
    assert (Path(folder) / "config.json").is_file()
    assert [file.name for file in Path(folder).parent.iterdir()] == [Path(folder).name]


def test_a_cache_that_cannot_be_written_is_named(checkpoint, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match=r"cannot be kept in .*cache.*XDG_CACHE_HOME"):
        model_folder(str(checkpoint), quiet=True)


def test_an_export_that_fails_can_be_tried_again(checkpoint, tiny_model, monkeypatch):
    import mlmfast.exporting.export as exporting

    def fail(_checkpoint: str, _output: Path, **_options: str) -> None:
        raise InputError("no such luck")

    monkeypatch.setattr(exporting, "export", fail)
    with pytest.raises(InputError, match="no such luck"):
        model_folder(str(checkpoint), quiet=True)
    onnx = tiny_model("bert").onnx

    def copy(_checkpoint: str, output: Path, **_options: str) -> None:
        shutil.copytree(onnx, output)

    monkeypatch.setattr(exporting, "export", copy)
    assert (model_folder(str(checkpoint), quiet=True) / "fill_mask.onnx").is_file()
