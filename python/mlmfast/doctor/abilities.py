"""Which commands of mlmfast can run in an environment, and what is missing for the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlmfast.doctor.facts import Facts
from mlmfast.doctor.findings import install

_BASE = ("mlmfast._core", "numpy", "pyarrow", "tokenizers")
_MODELS = (*_BASE, "torch", "transformers")
# command -> the modules that it needs, and the extra that installs them.
_NEEDS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "prepare": (_BASE, "mlmfast"),
    "train": ((*_MODELS, "accelerate"), "mlmfast[train]"),
    "train --lora": ((*_MODELS, "accelerate", "peft"), "mlmfast[lora]"),
    "evaluate": (_MODELS, "mlmfast[train]"),
    "probe": ((*_MODELS, "sklearn"), "mlmfast[probe]"),
    "vocabulary": (_MODELS, "mlmfast[train]"),
    "export": (("torch", "transformers", "onnx", "onnxruntime"), "mlmfast[export,cpu]"),
    "fill-mask": (("numpy", "tokenizers", "onnxruntime"), "mlmfast[serve,cpu]"),
}


@dataclass(frozen=True, kw_only=True)
class Ability:
    """Whether a command can run.

    Attributes:
        command: its name.
        lacks: modules that are not installed.
        broken: modules that are installed and do not load.
        mend: the command that installs what is lacking; None where nothing is.
    """

    command: str
    lacks: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    mend: str | None = None

    @property
    def ready(self) -> bool:
        """Whether the command can run."""
        return not self.lacks and not self.broken


def find_abilities(facts: Facts) -> tuple[Ability, ...]:
    """Return for each command whether its modules are installed and can be imported."""
    abilities = []
    for command, (modules, extra) in _NEEDS.items():
        tried = {name: facts.module(name) for name in modules}
        lacks = tuple(name for name, entry in tried.items() if entry is None)
        broken = tuple(name for name, entry in tried.items() if entry and entry.error)
        extra_for_device = extra.replace("cpu]", "gpu]") if facts.gpus.found else extra
        abilities.append(
            Ability(
                command=command,
                lacks=lacks,
                broken=broken,
                mend=install(extra_for_device) if lacks else None,
            )
        )
    return tuple(abilities)
