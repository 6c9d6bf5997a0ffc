"""What the doctor asks of the machine: processes, libraries, graphs, control groups, GPUs."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from mlmfast import _core
from mlmfast.doctor.caches import measure
from mlmfast.doctor.child import call
from mlmfast.doctor.gpus import probe_gpus
from mlmfast.doctor.machine import probe_machine
from mlmfast.doctor.shared_libraries import missing_libraries, named_in, needed_libraries
from mlmfast.doctor.tiny_graph import SIZE, matrix_product

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own files")


def test_a_call_in_another_process_gives_its_value():
    assert call("json:loads", '{"a": [1, 2]}', limit=60).value == {"a": [1, 2]}


def test_an_exception_there_is_an_error_here():
    outcome = call("importlib:import_module", "no_such_module", limit=60)
    assert outcome.error == "ModuleNotFoundError: No module named 'no_such_module'"
    assert call("sys:exit", "5", limit=60).error == "SystemExit: 5"


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_a_crash_there_is_an_error_here():
    assert "died of SIGABRT" in call("os:abort", limit=60).error


@pytest.mark.skipif(not hasattr(__import__("signal"), "pause"), reason="nothing to hang in")
def test_a_hanging_call_is_stopped():
    assert call("signal:pause", limit=1).error == "no answer within 1 s"


def test_a_file_of_that_name_in_the_current_folder_is_not_taken(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise RuntimeError('the wrong one')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert call("json:loads", "1", limit=60).value == 1


def test_the_tiny_graph_is_sound_onnx_and_computes():
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load_from_string(matrix_product()), full_check=True)
    session = onnxruntime.InferenceSession(matrix_product(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
    assert np.allclose(session.run(["y"], {"x": x})[0], x @ x)


@LINUX
def test_all_missing_libraries_are_named(tmp_path):
    content = Path(_core.__file__).read_bytes()
    assert "libc.so.6" in needed_libraries(Path(_core.__file__))
    assert missing_libraries(Path(_core.__file__)) == []
    names = [n for n in needed_libraries(Path(_core.__file__)) if n in ("libc.so.6", "libm.so.6")]
    wanting = tmp_path / "wanting.so"
    for name in names:
        content = content.replace(
            b"\0" + name.encode(), b"\0" + name.replace("lib", "liQ").encode()
        )
    wanting.write_bytes(content)
    assert set(missing_libraries(wanting)) == {name.replace("lib", "liQ") for name in names}


def test_files_that_are_no_library(tmp_path):
    for content in (b"", b"\x7fELF\x02\x01", b"\x7fELF\x02\x01" + bytes(100), b"text" * 100):
        (tmp_path / "x.so").write_bytes(content)
        assert needed_libraries(tmp_path / "x.so") == []
    assert needed_libraries(tmp_path / "nowhere.so") == []


def test_the_loaders_message_is_read():
    message = "libcublasLt.so.13: cannot open shared object file: No such file or directory"
    assert named_in(f"with error: {message}\nagain {message}") == ["libcublasLt.so.13"]
    assert named_in("CUDA driver version is insufficient") == []


def test_gpus_by_nvidia_smi():
    output = "NVIDIA H200, 143771, 143000, 580.65.06\nNVIDIA A100, 80GB, 81920, [N/A], 580.65.06\n"
    first, second = probe_gpus(lambda: (0, output)).found
    assert (first.name, first.memory, first.driver) == ("NVIDIA H200", 143771 << 20, "580.65.06")
    assert (second.name, second.memory, second.free) == ("NVIDIA A100, 80GB", 81920 << 20, None)


def test_gpus_without_nvidia_smi():
    assert "not installed" in probe_gpus(lambda: None).note
    seen = probe_gpus(lambda: None, [{"name": "NVIDIA L4", "memory": 24 << 30}])
    assert seen.found[0].name == "NVIDIA L4"
    assert "according to torch" in seen.note
    broken = probe_gpus(lambda: (9, "couldn't communicate with the NVIDIA driver.\n"))
    assert not broken.found
    assert broken.error == "couldn't communicate with the NVIDIA driver."


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


@LINUX
@pytest.mark.skipif(platform.machine() != "x86_64", reason="shows the words of x86-64")
def test_a_machine_with_limits(tmp_path):
    write(
        tmp_path,
        {
            "proc/cpuinfo": "model name\t: A CPU\nflags\t\t: avx2 avx512f avx_vnni\n",
            "proc/self/cgroup": "0::/pod/box\n",
            "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/pod/box/memory.max": "2147483648\n",
            "sys/fs/cgroup/pod/memory.max": "max\n",
        },
    )
    machine = probe_machine(tmp_path)
    assert machine.cpu == "A CPU"
    assert [name for name, there in machine.features.items() if there] == [
        "AVX2",
        "AVX-512",
        "VNNI",
    ]
    assert machine.quota_cores == 1.5
    assert machine.memory_limit == 2 << 30


@LINUX
def test_control_groups_of_version_1(tmp_path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/box\n3:memory:/box\n",
            "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    machine = probe_machine(tmp_path)
    assert machine.quota_cores == 2
    assert machine.memory_limit is None


def test_a_machine_that_tells_nothing(tmp_path):
    machine = probe_machine(tmp_path)
    assert machine.quota_cores is None
    assert machine.allowed_cores >= 1


def test_cache_sizes_count_files_once(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "a").write_bytes(bytes(1000))
    (tmp_path / "link").symlink_to(tmp_path / "blobs" / "a")
    assert measure(tmp_path, 5) == (1000, True)
    assert measure(tmp_path / "nowhere", 5) == (None, True)
    assert measure(tmp_path, -1)[1] is False
