"""Examine an environment: gather the facts and derive the findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlmfast.doctor.abilities import Ability, find_abilities
from mlmfast.doctor.caches import probe_caches
from mlmfast.doctor.child import Outcome, call
from mlmfast.doctor.facts import Cache, Facts, Gpus, Machine
from mlmfast.doctor.findings import Finding
from mlmfast.doctor.gpus import probe_gpus
from mlmfast.doctor.imports import try_imports
from mlmfast.doctor.judge_devices import judge_devices
from mlmfast.doctor.judge_packages import judge_packages
from mlmfast.doctor.machine import probe_machine
from mlmfast.doctor.providers import try_plugins, try_providers
from mlmfast.doctor.requirements import find_conflicts, installed_requirements
from mlmfast.runtime.versions import installed_versions
from mlmfast.serving.engine.plugins import PLUGINS

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
    "peft",
    "scikit-learn",
    "optimum",
    "optimum-onnx",
    "optimum-intel",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    *(name for plugin in PLUGINS for name in plugin.packages),
)


@dataclass(frozen=True, kw_only=True)
class Probes:
    """The functions that gather the facts; tests replace them to describe other environments.

    Attributes:
        versions: returns the versions of packages.
        requirements: returns the requirements in the metadata of packages.
        version_of: versions to compare requirements with; None: those in this environment.
        call: runs `module:function` in another process.
        gpus: lists the GPUs, given those that torch sees.
        machine: describes processor and memory.
        caches: measures the cache folders.
    """

    versions: Callable[[Iterable[str]], dict[str, str | None]] = installed_versions
    requirements: Callable[[Iterable[str]], dict[str, list[str]]] = installed_requirements
    version_of: Mapping[str, str | None] | None = None
    call: Callable[..., Outcome] = call
    gpus: Callable[..., Gpus] = probe_gpus
    machine: Callable[[], Machine] = probe_machine
    caches: Callable[[], tuple[Cache, ...]] = probe_caches


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The facts, and the findings from them."""

    facts: Facts
    findings: tuple[Finding, ...]
    abilities: tuple[Ability, ...] = ()

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Findings about installed things that do not work."""
        return tuple(finding for finding in self.findings if finding.fault)

    @property
    def verdict(self) -> str:
        """A summary in one sentence."""
        ready = [each.command for each in self.abilities if each.ready]
        can = f"ready: {', '.join(ready)}" if ready else "no command of mlmfast is ready"
        if self.faults:
            count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
            return f"{count} found; {can}."
        return f"All that is installed works; {can}."

    def to_json(self) -> dict[str, Any]:
        """Return everything as a dictionary for JSON."""
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
        probes: the functions that gather the facts; None: those for this environment.
        limit: seconds after which an import or a provider counts as hanging.
    """
    probes = probes or Probes()
    versions = probes.versions(PACKAGES)
    imports = try_imports(versions, limit=limit, call=probes.call)
    details = {entry.module: entry.details for entry in imports}
    facts = Facts(
        versions=versions,
        imports=imports,
        conflicts=find_conflicts(
            probes.requirements(name for name in PACKAGES if versions.get(name)), probes.version_of
        ),
        providers=(
            *try_providers(
                details.get("onnxruntime", {}).get("providers", ()), limit=limit, call=probes.call
            ),
            *try_plugins(versions, limit=limit, call=probes.call),
        ),
        machine=probes.machine(),
        gpus=probes.gpus(by_torch=details.get("torch", {}).get("gpus", ())),
        caches=probes.caches(),
    )
    judges = (judge_packages, judge_devices)
    return Diagnosis(
        facts=facts,
        findings=tuple(finding for judge in judges for finding in judge(facts)),
        abilities=find_abilities(facts),
    )
