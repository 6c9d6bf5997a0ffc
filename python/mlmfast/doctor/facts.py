"""What was found out about an environment, before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Import:
    """What came of importing a module in a process of its own.

    Attributes:
        module: its name.
        package: the package that brings it.
        seconds: what the whole process took.
        error: why it failed; None where it works.
        details: what the module tells of itself.
    """

    module: str
    package: str
    seconds: float = 0.0
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An execution provider that is compiled into onnxruntime.

    Attributes:
        name: as onnxruntime spells it.
        error: why it cannot compute a product of two matrices; None where it can.
        missing: shared libraries that it needs and that are nowhere to be found.
    """

    name: str
    error: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A requirement of an installed package that the environment does not meet.

    Attributes:
        package: who requires.
        wanted: the name of the package that is required.
        specifier: which versions of it; "" for any.
        found: the version that is there; None where it is not installed.
    """

    package: str
    wanted: str
    specifier: str
    found: str | None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Processor and memory, as far as this process may use them.

    Attributes:
        system: operating system and architecture.
        cpu: the processor's name, "" where the system does not tell.
        features: instruction sets that matter here, and whether the processor has them.
        cores: cores of the machine.
        allowed_cores: cores that the affinity mask leaves to this process.
        quota_cores: cores' worth of time that the control group grants; None without a limit.
        memory: bytes of the machine; None where the system does not tell.
        memory_limit: bytes that the control group grants; None without a limit.
    """

    system: str
    cpu: str = ""
    features: Mapping[str, bool] = field(default_factory=dict)
    cores: int = 1
    allowed_cores: int = 1
    quota_cores: float | None = None
    memory: int | None = None
    memory_limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU; memory in bytes, "" or None where it is not told."""

    name: str
    memory: int | None = None
    free: int | None = None
    driver: str = ""


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """The GPUs, and who told of them.

    Attributes:
        found: one entry a GPU.
        note: where the list comes from, or why it is empty.
        error: what `nvidia-smi` says where it is installed and fails.
    """

    found: tuple[Gpu, ...] = ()
    note: str = ""
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A folder that fills in the course of work.

    Attributes:
        what: who fills it.
        path: where it lies.
        size: bytes of its files; None where there is no such folder.
        complete: False where counting was given up after some seconds.
    """

    what: str
    path: str
    size: int | None
    complete: bool = True


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that the verdict is made of."""

    versions: Mapping[str, str | None]
    imports: tuple[Import, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    providers: tuple[Provider, ...] = ()
    machine: Machine
    gpus: Gpus = Gpus()
    caches: tuple[Cache, ...] = ()

    def module(self, name: str) -> Import | None:
        """What came of importing `name`; None where its package is not installed."""
        return next((entry for entry in self.imports if entry.module == name), None)

    def detail(self, module: str, name: str) -> Any:
        """What `module` told of itself under `name`; None where it told nothing."""
        entry = self.module(module)
        return entry.details.get(name) if entry else None
