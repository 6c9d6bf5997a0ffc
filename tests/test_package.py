"""The package as a whole: its names, what importing it costs, the command line's manners."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

import mlmfast
from places import ROOT


def python(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def command(*arguments):
    return python("from mlmfast.cli import main; main()", *arguments)


def test_python_dash_m_is_the_command_line():
    run = subprocess.run(
        [sys.executable, "-m", "mlmfast", "--version"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout.split()[0]) == (0, "mlmfast"), run.stderr


def test_importing_loads_nothing_heavy():
    heavy = "torch transformers datasets optimum onnxruntime pyarrow numpy tokenizers"
    program = f"import sys, mlmfast; print([m for m in '{heavy}'.split() if m in sys.modules])"
    assert python(program).stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in mlmfast.__all__:
        assert getattr(mlmfast, name).__module__.startswith("mlmfast."), name
    assert set(mlmfast.__all__) <= set(dir(mlmfast))
    assert mlmfast.__version__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mlmfast.nothing  # noqa: B018


def test_help_names_every_command_without_loading_them():
    program = (
        "import sys\nfrom mlmfast.cli import main\nsys.argv = ['mlmfast', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'pyarrow', 'numpy'} & set(sys.modules)"
    )
    found = python(program)
    assert found.returncode == 0, found.stderr
    for name in (
        "prepare",
        "train",
        "run-mlm",
        "evaluate",
        "probe",
        "export",
        "fill-mask",
        "convert",
        "demo",
        "doctor",
        "version",
    ):
        assert name in found.stdout


@pytest.mark.parametrize(
    "name",
    [
        "prepare",
        "convert",
        "tokenizer",
        "train-tokenizer",
        "train_tokenizer",
        "train",
        "run-mlm",
        "evaluate",
        "probe",
        "export",
        "fill-mask",
        "vocabulary",
        "demo",
        "doctor",
        "version",
    ],
)
def test_every_command_shows_an_example_first(name):
    found = command(name, "--help")
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert lines[0] == "Example:"
    assert lines[1].strip().startswith(("mlmfast ", "zcat "))


def test_a_users_mistake_is_one_sentence_and_status_2(tmp_path):
    for arguments in (
        ["evaluate", "nowhere", "--data", "nowhere"],
        ["fill-mask", str(tmp_path), "text"],
        ["no-such-command"],
        ["export"],
    ):
        found = command(*arguments)
        assert found.returncode == 2, (arguments, found)
        assert "Traceback" not in found.stderr
        assert "Error" in found.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_the_core_works_in_a_forked_child_after_threads_were_used():
    program = """
import os, numpy as np, pyarrow as pa, mlmfast
many = pa.chunked_array([pa.array([np.arange(3_000_000, dtype=np.uint32)])] * 2)
ids = np.full((4096, 512), 7, np.uint16)
def work():
    mlmfast.group_blocks(many, 128, threads=4)
    mlmfast.mask_tokens(ids, mask_token_id=4, vocab_size=10, threads=4)
work()
child = os.fork()
if child == 0:
    work()
    os._exit(7)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(program).returncode == 7


def requirements(extra):
    """What an extra asks for, those of the extras that it names with them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pending, found = [extra], []
    while pending:
        for line in project["optional-dependencies"][pending.pop()]:
            asked = Requirement(line)
            if asked.name == "mlmfast":
                pending += asked.extras
            else:
                found.append(asked)
    return found + [Requirement(line) for line in project["dependencies"]]


def test_only_the_extra_optimum_holds_transformers_back():
    # As sentence-transformers 6.2 has them.
    versions = {"transformers": "5.24.0", "tokenizers": "0.23.3", "datasets": "5.2.0"}

    def too_new(extra):
        return {
            asked.name
            for asked in requirements(extra)
            if asked.name in versions and versions[asked.name] not in asked.specifier
        }

    assert too_new("all") == too_new("export") == set()
    assert too_new("optimum") == {"transformers"}
