"""Gather the facts, judge them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlmfast.doctor.abilities import Ability, find_abilities
from mlmfast.doctor.caches import look_at_caches
from mlmfast.doctor.child import Outcome, call
from mlmfast.doctor.facts import Cache, Facts, Gpus, Machine
from mlmfast.doctor.findings import Finding
from mlmfast.doctor.gpus import look_at_gpus
from mlmfast.doctor.imports import try_imports
from mlmfast.doctor.judge_devices import judge_devices
from mlmfast.doctor.judge_packages import judge_packages
from mlmfast.doctor.machine import look_at_machine
from mlmfast.doctor.providers import try_providers
from mlmfast.doctor.requirements import find_conflicts, installed_requirements
from mlmfast.runtime.versions import installed_versions

PACKAGES = (
    "mlmfast",
    "numpy",
    "pyarrow",
    "tokenizers",
    "torch",
    "transformers",
    "huggingface_hub",
    "datasets",
    "accelerate",
    "optimum",
    "optimum-onnx",
    "optimum-intel",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
)


@dataclass(frozen=True, kw_only=True)
class Probes:
    """How the facts are come by; another environment can be put in the place of this one.

    Attributes:
        versions: of the packages named.
        requirements: of the packages named, in the words of their metadata.
        version_of: versions for comparing requirements with; None asks the environment.
        call: runs `module:function` in another process.
        gpus: GPUs, given those that torch sees.
        machine: processor and memory.
        caches: cache folders.
    """

    versions: Callable[[Iterable[str]], dict[str, str | None]] = installed_versions
    requirements: Callable[[Iterable[str]], dict[str, list[str]]] = installed_requirements
    version_of: Mapping[str, str | None] | None = None
    call: Callable[..., Outcome] = call
    gpus: Callable[..., Gpus] = look_at_gpus
    machine: Callable[[], Machine] = look_at_machine
    caches: Callable[[], tuple[Cache, ...]] = look_at_caches


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The facts and what they amount to."""

    facts: Facts
    findings: tuple[Finding, ...]
    abilities: tuple[Ability, ...] = ()

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is installed and does not work."""
        return tuple(finding for finding in self.findings if finding.fault)

    @property
    def verdict(self) -> str:
        """The whole in one sentence."""
        ready = [each.command for each in self.abilities if each.ready]
        can = f"ready: {', '.join(ready)}" if ready else "no command of mlmfast is ready"
        if self.faults:
            count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
            return f"{count} found; {can}."
        return f"All that is installed works; {can}."

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        return {
            "healthy": not self.faults,
            "verdict": self.verdict,
            "findings": [asdict(finding) for finding in self.findings],
            "commands": [{**asdict(each), "ready": each.ready} for each in self.abilities],
            **asdict(self.facts),
        }


def examine(probes: Probes | None = None, *, limit: float = 180.0) -> Diagnosis:
    """Examine an environment; nothing heavy is imported into this process.

    Args:
        probes: how to come by the facts, this environment's own if None.
        limit: seconds after which an import or a provider counts as hanging.
    """
    ask = probes or Probes()
    versions = ask.versions(PACKAGES)
    imports = try_imports(versions, limit=limit, call=ask.call)
    told = {entry.module: entry.details for entry in imports}
    facts = Facts(
        versions=versions,
        imports=imports,
        conflicts=find_conflicts(
            ask.requirements(name for name in PACKAGES if versions.get(name)), ask.version_of
        ),
        providers=try_providers(
            told.get("onnxruntime", {}).get("providers", ()), limit=limit, call=ask.call
        ),
        machine=ask.machine(),
        gpus=ask.gpus(by_torch=told.get("torch", {}).get("gpus", ())),
        caches=ask.caches(),
    )
    judges = (judge_packages, judge_devices)
    return Diagnosis(
        facts=facts,
        findings=tuple(finding for judge in judges for finding in judge(facts)),
        abilities=find_abilities(facts),
    )
