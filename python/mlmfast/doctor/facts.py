"""The facts about an environment, from which the findings are derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Import:
    """The outcome of importing a module in a process of its own.

    Attributes:
        module: its name.
        package: the package that installs it.
        seconds: how long the whole process took.
        error: why it failed; None if it works.
        details: what the module reports about itself.
    """

    module: str
    package: str
    seconds: float = 0.0
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An execution provider that is compiled into onnxruntime, or a plugin of it.

    Attributes:
        name: its name in onnxruntime; that of its package for a plugin.
        error: why it cannot compute a product of two matrices; None if it can.
        missing: shared libraries that it needs and that cannot be found.
        finds_device: False for a plugin that loads and takes no device of this machine.
    """

    name: str
    error: str | None = None
    missing: tuple[str, ...] = ()
    finds_device: bool = True


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A requirement of an installed package that the environment does not meet.

    Attributes:
        package: the package with the requirement.
        wanted: the name of the required package.
        specifier: its allowed versions; "" for any.
        found: its installed version; None if it is not installed.
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
        cpu: the processor's name, "" if it is unknown.
        features: instruction sets that matter here, and whether the processor has them.
        cores: cores of the machine.
        allowed_cores: cores in the affinity mask of this process.
        quota_cores: the CPU quota of the control groups, in cores; None without a quota.
        memory: bytes of memory of the machine; None if it is unknown.
        memory_limit: the memory limit of the control groups in bytes; None without a limit.
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
    """One NVIDIA GPU; memory in bytes; "" or None for what is unknown."""

    name: str
    memory: int | None = None
    free: int | None = None
    driver: str = ""


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """The GPUs, and how they were listed.

    Attributes:
        found: the GPUs.
        note: where the list comes from, or why it is empty.
        error: the error of `nvidia-smi` if it is installed and fails.
    """

    found: tuple[Gpu, ...] = ()
    note: str = ""
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A cache folder.

    Attributes:
        what: what it holds.
        path: its path.
        size: bytes of its files; None if there is no such folder.
        complete: False if counting took too long and was stopped.
    """

    what: str
    path: str
    size: int | None
    complete: bool = True


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All facts about an environment."""

    versions: Mapping[str, str | None]
    imports: tuple[Import, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    providers: tuple[Provider, ...] = ()
    machine: Machine
    gpus: Gpus = Gpus()
    caches: tuple[Cache, ...] = ()

    def module(self, name: str) -> Import | None:
        """Return the outcome of importing `name`; None if its package is not installed."""
        return next((entry for entry in self.imports if entry.module == name), None)

    def detail(self, module: str, name: str) -> Any:
        """Return a detail that `module` reports about itself; None if it reports none."""
        entry = self.module(module)
        return entry.details.get(name) if entry else None
