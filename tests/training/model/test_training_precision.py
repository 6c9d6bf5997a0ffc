"""`precision="auto"`: bf16 where the processor multiplies in it, on machines of both kinds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlmfast.errors import InputError
from mlmfast.training.model import precision
from mlmfast.training.model.precision import choose_precision, has_bf16
from mlmfast.training.train import train
from toy import SCRATCH


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx_vnni\n", False),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", False),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512f amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", True),
        ("model name\t: with bf16\n", False),
        (None, False),
    ],
)
def test_the_flags_of_a_processor_say_whether_it_computes_in_bf16(tmp_path, cpuinfo, expected):
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    assert has_bf16("cpu", path) is expected


@pytest.mark.parametrize("capable", [True, False])
def test_auto_follows_the_processor_and_a_name_is_obeyed_on_any(monkeypatch, capable):
    monkeypatch.setattr(precision, "has_bf16", lambda _device: capable)
    assert choose_precision("auto", "cpu").name == ("bf16" if capable else "fp32")
    assert choose_precision("fp32", "cpu").name == "fp32"
    assert choose_precision("bf16", "cpu").name == "bf16"
    if not capable:
        with pytest.raises(InputError, match="does not compute in bf16"):
            choose_precision("bf16", "cuda")


@pytest.mark.parametrize("capable", [True, False])
def test_a_training_takes_what_the_processor_has(toy_blocks, tmp_path, monkeypatch, capable):
    monkeypatch.setattr(precision, "has_bf16", lambda _device: capable)
    options = SCRATCH | {"precision": "auto", "max_steps": 1, "eval_strategy": "no"}
    found = train(toy_blocks, output=tmp_path / "out", **options)
    assert found.precision == ("bf16" if capable else "fp32")


def test_masked_rows_alone_compute_the_same_with_the_kernels_of_an_older_processor():
    """PyTorch and oneDNN choose their kernels as on a processor that has no more than AVX2.

    `make test-older-processor` runs more tests so.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    older = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    tests = Path(__file__).with_name("test_last_layer.py")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        env={**own, **older, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
