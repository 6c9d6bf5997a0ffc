"""Commands that open tokenizers import no torch, unless the process goes on after them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corpus import tiny_tokenizer
from mlmfast.cli import main
from mlmfast.cli.process.frameworks import _VARIABLES

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# transformers opens the files of a class; what it decided about torch stands to the end.
CLASS = {"tokenizer_class": "RobertaTokenizer", "mask_token": "<mask>"}
PROGRAM = """
import atexit, runpy, sys
def tell():
    import transformers
    print("torch" in sys.modules, transformers.is_torch_available(), file=sys.stderr)
    import torch
atexit.register(tell)
runpy.run_module("mlmfast", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def words(tmp_path):
    """Return the words of a command that has to open a tokenizer by its class."""
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    shutil.copy(Path(tiny_tokenizer()) / "tokenizer.json", tokenizer)
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(CLASS))
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox\n" * 50)
    return ["prepare", text, "--tokenizer", tokenizer, "--block-size", 8, "--output"]


def run(command, tmp_path, **variables):
    own = {"XDG_CACHE_HOME": str(tmp_path / "cache"), **variables}
    return subprocess.run(
        list(map(str, command)),
        env={**os.environ, **own},
        capture_output=True,
        check=False,
        text=True,
    )


@pytest.mark.parametrize("variable", [{}, {"USE_TORCH": "1"}])
def test_a_command_of_its_own_opens_tokenizers_without_torch(words, tmp_path, variable):
    found = run([sys.executable, "-c", PROGRAM, *words, tmp_path / "out"], tmp_path, **variable)
    assert found.returncode == 0, found.stderr
    loaded, used = found.stderr.splitlines()[-1].split()
    if not variable:
        assert (loaded, used) == ("False", "False"), found.stderr
        assert "PyTorch" not in found.stderr
    else:
        assert used == "True"


def test_the_ids_are_those_that_torch_beside_it_gives(words, tmp_path):
    written = []
    for name, variable in (("with", {"USE_TORCH": "1"}), ("without", {})):
        command = [sys.executable, "-m", "mlmfast", *words, tmp_path / name]
        assert run(command, tmp_path / name, **variable).returncode == 0
        files = [*(tmp_path / name).glob("*.arrow"), tmp_path / name / "tokenizer.json"]
        written.append({file.name: file.read_bytes() for file in files})
    assert written[0] == written[1]
    assert len(written[0]) > 1


def test_a_program_that_goes_on_keeps_torch(words, tmp_path, monkeypatch):
    before = {name: os.environ.get(name) for name in _VARIABLES}
    monkeypatch.setattr(sys, "argv", ["mlmfast", *map(str, words), str(tmp_path / "out")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert {name: os.environ.get(name) for name in _VARIABLES} == before
    assert transformers.is_torch_available()
