"""Findings about devices: providers, GPUs, cores."""

from __future__ import annotations

from collections.abc import Iterator

from mlmfast.doctor.facts import Facts, Provider
from mlmfast.doctor.findings import Finding, advice, fault, install, uninstall
from mlmfast.doctor.judge_packages import RUNTIMES
from mlmfast.serving.engine.plugins import PLUGINS, Plugin

CPU, CUDA, OPENVINO = "CPUExecutionProvider", "CUDAExecutionProvider", "OpenVINOExecutionProvider"

_DRIVER = "libcuda.so.1"  # comes with the NVIDIA driver, and with no package of Python


def judge_devices(facts: Facts) -> Iterator[Finding]:
    """Yield the findings about providers, GPUs and cores."""
    if facts.gpus.error:
        yield fault(
            f"nvidia-smi is installed and fails: {facts.gpus.error}",
            "nvidia-smi  # install or reload the NVIDIA driver until this lists the GPU",
        )
    yield from _providers(facts)
    if facts.gpus.found:
        yield from _runtime_without_cuda(facts)
        yield from _torch_and_gpu(facts)
    yield from _cores(facts)


def _providers(facts: Facts) -> Iterator[Finding]:
    package = next((name for name in RUNTIMES if facts.versions.get(name)), "onnxruntime")
    if facts.versions.get("onnxruntime-gpu"):
        package = "onnxruntime-gpu"
    for provider in facts.providers:
        plugin = next((each for each in PLUGINS if each.package == provider.name), None)
        if plugin:
            yield _plugin(plugin, provider, facts)
            continue
        if provider.name == OPENVINO and provider.error is None:
            yield advice(
                f"onnxruntime's {OPENVINO} works, and mlmfast answers by the CPU provider that "
                "comes with it: in float32 OpenVINO is no faster, and its bfloat16 gave wrong "
                "answers where it was tried (docs/precision.md)."
            )
        if provider.error is None:
            continue
        if provider.name == CUDA:
            yield _cuda(provider, facts)
        elif provider.name in (CPU, OPENVINO):  # the others are none that mlmfast uses
            yield fault(
                f"onnxruntime's {provider.name} does not work: {_why(provider)}",
                install(f"{package}=={facts.versions.get(package)}", anew=True),
            )


def _plugin(plugin: Plugin, provider: Provider, facts: Facts) -> Finding:
    there = next(name for name in plugin.packages if facts.versions.get(name))
    if provider.error is None:
        return advice(
            f"{there} works: `--device {plugin.device}` runs on it where its answers agree with "
            "those of onnxruntime's CPU provider."
        )
    if plugin.hardware == "GPU" and not facts.gpus.found:
        return advice(f"{there} is installed, and no NVIDIA GPU is to be seen here.")
    if not provider.finds_device:  # nothing that could be installed would change it
        return advice(provider.error or "")
    return fault(
        f"{there} does not work: {_why(provider)}",
        install(f"{there}=={facts.versions.get(there)}", anew=True),
    )


def _cuda(provider: Provider, facts: Facts) -> Finding:
    if not facts.gpus.found:
        return advice(
            "onnxruntime has the CUDA provider, and no NVIDIA GPU is to be seen here: answers "
            f"come from the CPU. ({_why(provider)})"
        )
    what = f"onnxruntime's CUDA provider does not load: {_why(provider)}"
    built, torch = facts.detail("onnxruntime", "cuda"), facts.detail("torch", "cuda")
    if built and torch and _major(built) != _major(torch):
        what += f" (onnxruntime is built for CUDA {built}, torch for CUDA {torch}.)"
    if set(provider.missing) - {_DRIVER}:
        return fault(what, install("onnxruntime-gpu[cuda,cudnn]"))
    return fault(
        what,
        "nvidia-smi  # its head tells the newest CUDA the driver can do; onnxruntime needs "
        f"{built or 'the one it is built for'}",
    )


def _why(provider: Provider) -> str:
    if not provider.missing:
        return provider.error or ""
    verb = "is" if len(provider.missing) == 1 else "are"
    return f"{', '.join(provider.missing)} {verb} nowhere to be found."


def _runtime_without_cuda(facts: Facts) -> Iterator[Finding]:
    entry = facts.module("onnxruntime")
    names = {provider.name for provider in facts.providers}
    if entry and not entry.error and CUDA not in names:
        there = [name for name in RUNTIMES if facts.versions.get(name)]
        yield advice(
            f"There is a GPU ({facts.gpus.found[0].name}), and the installed onnxruntime has no "
            "CUDA provider: answers come from the CPU.",
            f"{uninstall(*there)} && {install('onnxruntime-gpu[cuda,cudnn]')}",
        )


def _torch_and_gpu(facts: Facts) -> Iterator[Finding]:
    entry = facts.module("torch")
    if entry is None or entry.error:
        return
    cuda = facts.detail("torch", "cuda")
    if cuda is None:
        yield advice(
            "There is a GPU, and the installed torch is built without CUDA: training runs on the "
            "CPU. https://pytorch.org/get-started/locally/ names the build for this driver.",
            install("torch", anew=True),
        )
    elif not facts.detail("torch", "sees_gpu"):
        yield fault(
            f"torch {facts.versions.get('torch')} is built for CUDA {cuda} and sees no GPU, though "
            f"there is one (driver {facts.gpus.found[0].driver or 'unknown'}): as a rule the "
            "driver is too old for that CUDA, or CUDA_VISIBLE_DEVICES hides the GPU.",
            "python -c 'import torch; torch.cuda.init()'  # tells which of the two",
        )
    built = facts.detail("onnxruntime", "cuda")
    loads = any(each.name == CUDA and each.error is None for each in facts.providers)
    if cuda and built and _major(built) != _major(cuda) and loads:
        yield advice(
            f"onnxruntime is built for CUDA {built} and torch for CUDA {cuda}: each works alone, "
            "and a process that uses both loads two sets of CUDA libraries."
        )


def _cores(facts: Facts) -> Iterator[Finding]:
    machine = facts.machine
    if machine.quota_cores is not None and machine.quota_cores < machine.allowed_cores:
        threads = max(1, int(machine.quota_cores))
        yield advice(
            f"The control group grants the time of {machine.quota_cores:g} cores, and the affinity "
            f"mask shows {machine.allowed_cores}: more threads than that slow each other down.",
            f"mlmfast fill-mask --threads {threads} ...",
        )


def _major(version: str) -> str:
    return version.partition(".")[0]
