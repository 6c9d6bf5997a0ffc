"""`mlmfast doctor`: what it makes of broken environments, and of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from doctor_cases import H200, WITH_CUDA, diagnose, only_fault
from mlmfast.doctor import findings
from mlmfast.doctor.child import Outcome
from mlmfast.doctor.facts import Machine
from mlmfast.doctor.text import describe

NO_CUBLAS = (
    "\x1b[1;31m2026-11-22 22:55:35.1 [E:onnxruntime:Default, provider_bridge_ort.cc:2251 "
    "TryGetProviderInfo_CUDA] provider_bridge_ort.cc:1844 Provider& ProviderLibrary::Get() "
    "[ONNXRuntimeError] : 1 : FAIL : Failed to load library libonnxruntime_providers_cuda.so with "
    "error: libcublasLt.so.13: cannot open shared object file: No such file or directory\x1b[m\n"
)


def test_a_whole_environment_has_no_fault():
    diagnosis = diagnose()
    assert not diagnosis.findings
    assert diagnosis.verdict == (
        "All that is installed works; ready: prepare, train, train --lora, evaluate, probe, "
        "vocabulary, export, fill-mask."
    )


def test_a_broken_import_is_told_with_its_cause():
    broken = Outcome(error="OSError: libcusparseLt.so.0: cannot open shared object file")
    diagnosis = diagnose(modules={"torch": broken})
    found = only_fault(diagnosis)
    assert "torch 2.15.0" in found.what
    assert "libcusparseLt.so.0" in found.what
    assert "install --" in found.mend  # --reinstall to uv, --force-reinstall to pip
    assert "'torch==2.15.0'" in found.mend
    assert diagnosis.verdict == "1 fault found; ready: prepare, fill-mask."
    assert "torch is broken" in describe(diagnosis)


def test_a_hanging_import_is_told_with_how_to_look_closer():
    diagnosis = diagnose(modules={"datasets": Outcome(error="no answer within 5 s")})
    assert not diagnosis.faults  # it is not installed there, so it is not tried
    diagnosis = diagnose(
        versions={"datasets": "5.0.1"}, modules={"datasets": Outcome(error="no answer within 5 s")}
    )
    assert "-X importtime" in only_fault(diagnosis).mend


def test_both_runtimes_at_once():
    found = only_fault(diagnose(versions={"onnxruntime-gpu": "1.31.1"}))
    assert "onnxruntime and onnxruntime-gpu" in found.what
    assert " uninstall " in found.mend
    assert " onnxruntime onnxruntime-gpu && " in found.mend
    assert found.mend.endswith("install onnxruntime")
    with_gpu = diagnose(
        versions={"onnxruntime-gpu": "1.31.1"}, modules={"onnxruntime": WITH_CUDA}, gpus=[H200]
    )
    assert only_fault(with_gpu).mend.endswith("install 'onnxruntime-gpu[cuda,cudnn]'")


def gpu_environment(**more):
    return diagnose(
        versions={"onnxruntime": None, "onnxruntime-gpu": "1.31.1"},
        **{"modules": {"onnxruntime": WITH_CUDA}, "gpus": [H200], **more},
    )


def test_missing_libraries_are_named_and_can_be_installed():
    failing = Outcome(value={"works": False, "missing": ["libcudart.so.13"]}, log=NO_CUBLAS)
    diagnosis = gpu_environment(providers={"CUDAExecutionProvider": failing})
    found = only_fault(diagnosis)
    assert "libcublasLt.so.13, libcudart.so.13 are nowhere to be found" in found.what
    assert found.mend.endswith("install 'onnxruntime-gpu[cuda,cudnn]'")
    assert "does not load, missing: libcublasLt.so.13, libcudart.so.13" in describe(diagnosis)


def test_a_provider_that_fails_for_another_reason_says_which():
    log = "[E:onnxruntime:Default, cuda_call.cc:1] CUDA failure 35: CUDA driver version is too old"
    failing = Outcome(value={"works": False, "missing": []}, log=log)
    found = only_fault(gpu_environment(providers={"CUDAExecutionProvider": failing}))
    assert "CUDA failure 35: CUDA driver version is too old" in found.what
    assert found.mend.startswith("nvidia-smi")


def test_different_cuda_majors_are_told():
    modules = {"onnxruntime": {**WITH_CUDA, "cuda": "12.8"}}
    works = gpu_environment(modules=modules)
    assert not works.faults
    assert "CUDA 12.8 and torch for CUDA 13.2" in works.findings[0].what
    failing = Outcome(value={"works": False, "missing": ["libcublasLt.so.12"]})
    broken = gpu_environment(modules=modules, providers={"CUDAExecutionProvider": failing})
    assert "onnxruntime is built for CUDA 12.8, torch for CUDA 13.2" in only_fault(broken).what


def test_without_a_gpu_the_cuda_provider_is_no_fault():
    failing = Outcome(value={"works": False, "missing": ["libcuda.so.1"]})
    diagnosis = gpu_environment(gpus=[], providers={"CUDAExecutionProvider": failing})
    assert not diagnosis.faults
    assert "no NVIDIA GPU is to be seen" in diagnosis.findings[0].what


def test_openvino_that_works_is_told_and_no_fault():
    providers = ["OpenVINOExecutionProvider", "CPUExecutionProvider"]
    there = {"onnxruntime": None, "onnxruntime-openvino": "1.24.1"}
    modules = {"onnxruntime": {"providers": providers}}
    diagnosis = diagnose(versions=there, modules=modules)
    assert not diagnosis.faults
    assert "answers by the CPU provider" in diagnosis.findings[0].what
    failing = {"OpenVINOExecutionProvider": Outcome(error="the process died of SIGILL")}
    fault = only_fault(diagnose(versions=there, modules=modules, providers=failing))
    assert "SIGILL" in fault.what
    assert "onnxruntime-openvino==1.24.1" in fault.mend


def test_plugins_of_onnxruntime_are_tried():
    there = {"onnxruntime-ep-openvino": "1.8.1", "onnxruntime-ep-nv-tensorrt-rtx-cu12": "0.5.0"}
    failing = {
        "onnxruntime-ep-openvino": Outcome(error="MlmfastError: it does not load: no libtbb.so"),
        "onnxruntime-ep-nv-tensorrt-rtx": Outcome(error="MlmfastError: it finds no GPU"),
    }
    diagnosis = diagnose(versions=there)
    assert not diagnosis.faults
    assert "`--device openvino` runs on it" in diagnosis.findings[0].what
    assert "`--device tensorrt-rtx` runs on it" in diagnosis.findings[1].what
    assert "onnxruntime-ep-openvino        works" in describe(diagnosis)
    broken = diagnose(versions=there, providers=failing)
    assert "no libtbb.so" in only_fault(broken).what
    assert "'onnxruntime-ep-openvino==1.8.1'" in only_fault(broken).mend
    assert "tensorrt-rtx-cu12 is installed, and no NVIDIA GPU" in broken.findings[1].what
    assert len(diagnose(versions=there, providers=failing, gpus=[H200]).faults) == 2


def test_a_plugin_for_other_processors_is_no_fault():
    refused = Outcome(value={"works": False, "no_device": "the plugin finds no CPU"})
    diagnosis = diagnose(
        versions={"onnxruntime-ep-openvino": "1.8.1"},
        providers={"onnxruntime-ep-openvino": refused},
    )
    assert not diagnosis.faults
    (finding,) = diagnosis.findings
    assert finding.what == "the plugin finds no CPU"


def test_extras_that_are_not_installed_come_with_a_command():
    diagnosis = diagnose(versions={"peft": None, "scikit-learn": None})
    assert not diagnosis.faults
    text = describe(diagnosis)
    assert "train --lora peft not installed: " in text
    assert "'mlmfast[lora]'" in text
    assert "probe        sklearn not installed: " in text
    assert "'mlmfast[probe]'" in text
    assert "vocabulary   ready" in text
    bare = describe(diagnose(versions={"torch": None}))
    assert "vocabulary   torch not installed" in bare


def test_a_gpu_that_goes_unused_is_told():
    diagnosis = diagnose(gpus=[H200], modules={"torch": {"cuda": None, "sees_gpu": False}})
    texts = " ".join(finding.what for finding in diagnosis.findings)
    assert "no CUDA provider" in texts
    assert "built without CUDA" in texts
    assert not diagnosis.faults
    hidden = diagnose(gpus=[H200], modules={"torch": {"cuda": "13.2", "sees_gpu": False}})
    assert "driver 580.65.06" in only_fault(hidden).what


def test_a_failing_nvidia_smi_is_a_fault():
    assert (
        "Driver/library version mismatch"
        in only_fault(
            diagnose(gpu_error="Failed to initialize NVML: Driver/library version mismatch")
        ).what
    )


def test_versions_that_do_not_fit():
    found = only_fault(
        diagnose(
            versions={"huggingface-hub": "1.3.0"},
            requirements={
                "transformers": [
                    "huggingface-hub<1.0,>=0.34.0",
                    "tokenizers<=0.23.0,>=0.22.0",
                    "a-tool; extra == 'dev'",
                ],
            },
        )
    )
    assert "transformers 4.57.6 needs huggingface-hub" in found.what
    assert "1.3.0 is installed" in found.what
    assert found.mend.endswith("install 'huggingface-hub<1.0,>=0.34.0'")


def test_one_command_meets_all_who_ask_for_a_package():
    faults = diagnose(
        versions={"tokenizers": "0.30.0"},
        requirements={"transformers": ["tokenizers<0.24"], "mlmfast": ["tokenizers>=0.21,<0.29"]},
    ).faults
    assert len({each.mend for each in faults}) == 1
    assert faults[0].mend.endswith("'tokenizers<0.24,<0.29,>=0.21'")


def test_transformers_5_beside_optimum_is_no_fault():
    diagnosis = diagnose(
        versions={"transformers": "5.23.0", "optimum-onnx": "0.1.0"},
        requirements={"optimum-onnx": ["transformers<4.58.0,>=4.36"]},
        modules={"optimum.exporters.onnx": Outcome(error="ImportError: no such name")},
    )
    assert not diagnosis.faults
    assert "writes its graphs itself" in diagnosis.findings[0].what


def test_a_torch_that_transformers_passes_over():
    diagnosis = diagnose(
        versions={"torch": "2.0.1"}, modules={"transformers": {"uses_torch": False}}
    )
    assert "does not use torch 2.0.1" in only_fault(diagnosis).what


def test_what_is_not_installed_is_no_fault_and_comes_with_a_command():
    diagnosis = diagnose(versions=dict.fromkeys(["torch", "transformers", "accelerate", "onnx"]))
    assert not diagnosis.faults
    assert diagnosis.verdict.endswith("ready: prepare, fill-mask.")
    text = describe(diagnosis)
    assert "torch, transformers, onnx not installed" in text
    assert "'mlmfast[export,cpu]'" in text


def test_a_quota_below_the_cores_is_told():
    machine = Machine(system="Linux x86_64", cores=16, allowed_cores=16, quota_cores=2.5)
    (found,) = diagnose(machine=machine).findings
    assert not found.fault
    assert "--threads 2" in found.mend


def test_a_debug_build_of_the_core_is_told():
    (found,) = diagnose(modules={"mlmfast._core": {"release": False}}).findings
    assert "debug build" in found.what


def test_the_text_tells_gpu_memory_and_caches():
    diagnosis = gpu_environment()
    text = describe(diagnosis)
    assert "NVIDIA H200: 161.1 GB, 160.0 GB free, driver 580.65.06" in text
    assert "CUDAExecutionProvider          works" in text
    assert text.splitlines()[-1].startswith("Verdict: All that is installed works")


def test_json_holds_everything():
    answer = json.loads(json.dumps(diagnose(gpus=[H200]).to_json()))
    assert answer["healthy"] is True
    assert answer["gpus"]["found"][0]["name"] == "NVIDIA H200"
    assert answer["versions"]["torch"] == "2.15.0"
    assert {each["command"] for each in answer["commands"]} >= {"train", "fill-mask"}


def test_looking_for_pip_runs_no_hook_of_setuptools(monkeypatch):
    """Its hook takes distutils away from the whole process."""
    names = []

    class Hook:
        def find_spec(self, name, path=None, target=None):
            names.append(name)

    monkeypatch.setattr(sys, "meta_path", [Hook(), *sys.meta_path])
    assert "install" in findings.install("torch", anew=True)
    assert "pip" not in names


def run_doctor(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", "from mlmfast.cli import main; main()", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def stand_ins(tmp_path):
    """Modules in the place of the heavy ones, which this environment's metadata still names."""
    for name in ("transformers", "datasets", "accelerate", "onnx", "peft", "pyarrow", "sklearn"):
        (tmp_path / f"{name}.py").write_text("is_torch_available = lambda: True\n")
    (tmp_path / "optimum" / "exporters" / "onnx").mkdir(parents=True)
    (tmp_path / "optimum" / "exporters" / "onnx" / "__init__.py").write_text("")
    (tmp_path / "torch.py").write_text("raise OSError('libtorch_cpu.so: cannot open it')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_this_environment_with_a_broken_torch(stand_ins):
    found = run_doctor("--json", **stand_ins)
    assert found.returncode == 1, found
    answer = json.loads(found.stdout)
    (torch,) = (entry for entry in answer["imports"] if entry["module"] == "torch")
    assert torch["error"] == "OSError: libtorch_cpu.so: cannot open it"
    providers = {each["name"]: each["error"] for each in answer["providers"]}
    assert providers["CPUExecutionProvider"] is None
    assert answer["machine"]["allowed_cores"] >= 1
    assert [cache["size"] for cache in answer["caches"]][:1] == [None]


def test_the_command_speaks_to_people(stand_ins):
    found = run_doctor(**stand_ins)
    assert found.returncode == 1, found
    assert "Faults\n  1. torch " in found.stdout
    assert "Traceback" not in found.stdout + found.stderr
