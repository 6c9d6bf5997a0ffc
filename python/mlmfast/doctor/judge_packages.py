"""Findings about packages that cannot be imported or do not fit together."""

from __future__ import annotations

from collections.abc import Iterator

from mlmfast.doctor.facts import Conflict, Facts, Import
from mlmfast.doctor.findings import Finding, advice, fault, install, uninstall

# They all install into the folder site-packages/onnxruntime.
RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")


def judge_packages(facts: Facts) -> Iterator[Finding]:
    """Yield the findings about the installed packages."""
    yield from _runtimes(facts)
    own_exporter = _outgrown(facts)
    if own_exporter:
        yield own_exporter
    mends = {}
    for conflict in facts.conflicts:
        if own_exporter and (conflict.package, conflict.wanted) == ("optimum-onnx", "transformers"):
            continue
        finding = _conflict(conflict, facts)
        mends[conflict.package] = finding.mend
        yield finding
    for entry in facts.imports:
        if entry.error and not (own_exporter and entry.package == "optimum-onnx"):
            yield _broken(entry, facts, mends.get(entry.package))
    torch = facts.module("torch")
    if torch and not torch.error and facts.detail("transformers", "uses_torch") is False:
        yield fault(
            f"transformers {facts.versions['transformers']} does not use torch "
            f"{facts.versions['torch']}, which is too old for it: it offers no models.",
            install("torch", "--upgrade"),
        )
    if facts.detail("mlmfast._core", "release") is False:
        yield advice(
            "The compiled core is a debug build, many times slower than a release build.",
            "maturin develop --release",
        )


def runtime_package(facts: Facts) -> str:
    """Return the onnxruntime package for this machine, as a requirement for pip."""
    return "onnxruntime-gpu[cuda,cudnn]" if facts.gpus.found else "onnxruntime"


def _runtimes(facts: Facts) -> Iterator[Finding]:
    there = [name for name in RUNTIMES if facts.versions.get(name)]
    if len(there) > 1:
        yield fault(
            f"{' and '.join(there)} are installed at once; they write the same folder, so what is "
            "in it depends on which came last, and removing one breaks the other.",
            f"{uninstall(*there)} && {install(runtime_package(facts))}",
        )


def _outgrown(facts: Facts) -> Finding | None:
    """Optimum's exporter stops below transformers 4.58, whatever pip was made to install."""
    transformers = facts.versions.get("transformers")
    if not transformers or not facts.versions.get("optimum-onnx"):
        return None
    major, minor = (int(part) for part in transformers.split(".")[:2])
    if (major, minor) < (4, 58):
        return None
    return advice(
        f"optimum-onnx {facts.versions['optimum-onnx']} does not go with transformers "
        f"{transformers} (it stops below 4.58): `mlmfast export` writes its graphs itself. For "
        "--exporter optimum, transformers has to be older.",
        install("transformers<4.58"),
    )


def _conflict(conflict: Conflict, facts: Facts) -> Finding:
    # All requirements for one package go into one command, so that fixing one breaks no other.
    specifiers = sorted(
        {
            part
            for each in facts.conflicts
            if each.wanted == conflict.wanted and each.specifier
            for part in each.specifier.split(",")
        }
    )
    version = facts.versions.get(conflict.package) or ""
    there = (
        f"{conflict.wanted} {conflict.found} is installed"
        if conflict.found
        else "it is not installed"
    )
    return fault(
        f"{conflict.package} {version} needs {conflict.wanted}{conflict.specifier or ''}, and "
        f"{there}.",
        install(conflict.wanted + ",".join(specifiers)),
    )


def _broken(entry: Import, facts: Facts, mend: str | None) -> Finding:
    version = facts.versions.get(entry.package)
    named = f"{entry.package} {version}" if version else entry.package
    what = f"{named} is installed, and `import {entry.module}` fails: {entry.error}"
    if mend is None and entry.error and entry.error.startswith("no answer within"):
        mend = f'python -X importtime -c "import {entry.module}"  # shows where it hangs'
    elif mend is None and entry.module == "mlmfast._core":
        mend = "make setup  # in the source folder; or install the wheel again"
    elif mend is None:
        mend = install(f"{entry.package}=={version}", anew=True)
    return fault(what, mend)
