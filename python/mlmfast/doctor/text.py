"""A diagnosis as text."""

from __future__ import annotations

from collections.abc import Iterator

from mlmfast.doctor.examine import Diagnosis
from mlmfast.doctor.facts import Facts


def describe(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as text: the facts, the findings with their fixes, and the verdict."""
    facts = diagnosis.facts
    parts = [
        ("Packages", _packages(facts)),
        ("Providers of onnxruntime", _providers(facts)),
        ("Machine", _machine(facts)),
        ("Commands", _commands(diagnosis)),
        ("Faults", _findings(diagnosis, fault=True)),
        ("Good to know", _findings(diagnosis, fault=False)),
    ]
    blocks = ["\n".join([title, *lines]) for title, found in parts if (lines := list(found))]
    return "\n\n".join([*blocks, f"Verdict: {diagnosis.verdict}"])


def _packages(facts: Facts) -> Iterator[str]:
    tried = {entry.package: entry for entry in facts.imports}
    absent = []
    for name, version in facts.versions.items():
        if version is None:
            absent.append(name)
            continue
        entry = tried.get(name)
        remarks = []
        if entry:
            cuda = entry.details.get("cuda")
            remarks += [f"CUDA {cuda}"] if cuda else []
            if entry.details.get("release") is not None:
                build = "release" if entry.details["release"] else "DEBUG"
                remarks.append(f"compiled core: {build} build")
            if entry.details.get("simd") is not None:
                remarks.append(f"text read with {entry.details['simd']}")
            remarks.append("DOES NOT LOAD" if entry.error else f"loads in {entry.seconds:.1f} s")
        yield f"  {name:30} {version:12} {', '.join(remarks)}".rstrip()
    if absent:
        yield f"  not installed: {', '.join(absent)}"


def _providers(facts: Facts) -> Iterator[str]:
    for provider in facts.providers:
        if provider.error is None:
            state = "works"
        elif provider.missing:
            state = f"does not load, missing: {', '.join(provider.missing)}"
        else:
            state = "does not load" if provider.finds_device else "not used here"
            state += f": {provider.error}"
        yield f"  {provider.name:30} {state}"


def _machine(facts: Facts) -> Iterator[str]:
    machine = facts.machine
    yield f"  {'system':10} {machine.system}"
    has = [name for name, there in machine.features.items() if there]
    lacks = [name for name, there in machine.features.items() if not there]
    features = "; ".join(
        filter(None, [", ".join(has), f"without {', '.join(lacks)}" if lacks else ""])
    )
    yield f"  {'processor':10} {': '.join(filter(None, [machine.cpu, features])) or 'unknown'}"
    cores = f"{machine.allowed_cores} of {machine.cores} for this process"
    if machine.quota_cores is not None:
        cores += f", time for {machine.quota_cores:g}"
    yield f"  {'cores':10} {cores}"
    memory = size_of(machine.memory) if machine.memory else "unknown"
    if machine.memory_limit is not None:
        memory += f", limited to {size_of(machine.memory_limit)}"
    yield f"  {'memory':10} {memory}"
    for gpu in facts.gpus.found:
        parts = [size_of(gpu.memory) if gpu.memory else "memory unknown"]
        parts += [f"{size_of(gpu.free)} free"] if gpu.free is not None else []
        parts += [f"driver {gpu.driver}"] if gpu.driver else []
        yield f"  {'GPU':10} {gpu.name}: {', '.join(parts)} ({facts.gpus.note})"
    if not facts.gpus.found:
        yield f"  {'GPU':10} {facts.gpus.note}"
    for cache in facts.caches:
        size = "empty" if cache.size is None else size_of(cache.size)
        at_least = "" if cache.complete else "at least "
        yield f"  {'cache':10} {cache.what}: {at_least}{size} in {cache.path}"


def _commands(diagnosis: Diagnosis) -> Iterator[str]:
    for each in diagnosis.abilities:
        if each.ready:
            yield f"  {each.command:12} ready"
            continue
        reasons = [f"{name} is broken" for name in each.broken]
        reasons += [f"{', '.join(each.lacks)} not installed: {each.mend}"] if each.lacks else []
        yield f"  {each.command:12} {'; '.join(reasons)}"


def _findings(diagnosis: Diagnosis, *, fault: bool) -> Iterator[str]:
    found = [finding for finding in diagnosis.findings if finding.fault is fault]
    for number, finding in enumerate(found, start=1):
        yield f"  {number}. {finding.what}"
        if finding.mend:
            yield f"     -> {finding.mend}"


def size_of(count: int) -> str:
    """Return a number of bytes in a readable unit."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
