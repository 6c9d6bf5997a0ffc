"""Environments that the tests of the doctor make up."""

from __future__ import annotations

from mlmfast.doctor.child import Outcome
from mlmfast.doctor.examine import Probes, examine
from mlmfast.doctor.facts import Gpu, Gpus, Machine

H200 = Gpu(name="NVIDIA H200", memory=150 << 30, free=149 << 30, driver="580.65.06")
CPU_ONLY = {"providers": ["CPUExecutionProvider"]}
WITH_CUDA = {"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"], "cuda": "13.0"}
VERSIONS = {
    "mlmfast": "1.0.0",
    "numpy": "2.4.6",
    "pyarrow": "26.0.1",
    "tokenizers": "0.22.2",
    "torch": "2.15.0",
    "transformers": "4.57.6",
    "accelerate": "1.15.0",
    "peft": "0.21.2",
    "scikit-learn": "1.9.1",
    "onnx": "1.23.2",
    "onnxruntime": "1.32.0",
}


def diagnose(
    *,
    versions=None,
    modules=None,
    providers=None,
    requirements=None,
    gpus=(),
    gpu_error=None,
    machine=None,
):
    """Diagnose a made-up environment.

    Args:
        versions: what differs from VERSIONS.
        modules: module -> what it tells of itself, or an Outcome; the others load.
        providers: provider -> Outcome of its trial; the others work.
        requirements: package -> lines of its metadata.
        gpus: the GPUs.
        gpu_error: what nvidia-smi says when it fails.
        machine: the machine.
    """
    there = {**VERSIONS, **(versions or {})}
    told = {
        "mlmfast._core": {"release": True, "simd": "avx2"},
        "torch": {"cuda": "13.2", "sees_gpu": bool(gpus), "gpus": []},
        "transformers": {"uses_torch": True},
        "onnxruntime": CPU_ONLY,
        **(modules or {}),
    }

    def call(function, name, **_):
        if ":multiply" in function:
            return (providers or {}).get(name, Outcome(value={"works": True}))
        answer = told.get(name, {})
        return answer if isinstance(answer, Outcome) else Outcome(value=answer, seconds=0.5)

    return examine(
        Probes(
            versions=lambda names: {
                "python": "3.11.7",
                **{name: there.get(name) for name in names},
            },
            requirements=lambda names: {name: (requirements or {}).get(name, []) for name in names},
            version_of=there,
            call=call,
            gpus=lambda **_: Gpus(found=tuple(gpus), note="as the test says", error=gpu_error),
            machine=lambda: machine or Machine(system="Linux x86_64", cores=8, allowed_cores=8),
            caches=tuple,
        )
    )


def only_fault(diagnosis):
    """The one fault of a diagnosis."""
    (found,) = diagnosis.faults
    return found
