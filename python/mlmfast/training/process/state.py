"""Process-wide state that a training changes, isolated from other trainings in the process.

accelerate keeps precision, device and data loaders in class attributes that all its objects share.
transformers passes settings to it in environment variables, which a second `TrainingArguments` does
not reset. `full_determinism`, `tf32` and accelerate's set-up on CPUs change settings of torch.
Without isolation, the next training in the process would run in the precision of the last one.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate.state import AcceleratorState, GradientState, PartialState

from mlmfast.training.process import launched
from mlmfast.training.process.launched import BACKEND, LAUNCHER, MODE, PRECISION

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from transformers import TrainingArguments

_SHARED = (PartialState, AcceleratorState, GradientState)
_PREFIXES = ("ACCELERATE_", "FSDP_")
# Set by `transformers.enable_full_determinism`.
_DETERMINISM = (
    "CUDA_LAUNCH_BLOCKING",
    "CUBLAS_WORKSPACE_CONFIG",
    "ASCEND_LAUNCH_BLOCKING",
    "HCCL_DETERMINISTIC",
    "FLASH_ATTENTION_DETERMINISTIC",
)
_CUDNN = ("deterministic", "benchmark", "allow_tf32")


@dataclass
class ProcessState:
    """Environment variables, torch settings, and the state that accelerate's objects share.

    Attributes:
        environment: the variables of accelerate, FSDP and determinism.
        torch_settings: settings of torch by name.
        shared: the state of each class of `_SHARED`.
    """

    environment: dict[str, str]
    torch_settings: dict[str, Any]
    shared: tuple[Any, ...]

    @classmethod
    def current(cls) -> ProcessState:
        """Read the present state."""
        environment = {name: value for name, value in os.environ.items() if _is_ours(name)}
        shared = tuple(vars(each)["_shared_state"] for each in _SHARED)
        return cls(environment, _torch_settings(), shared)

    def install(self) -> None:
        """Make this the present state."""
        _set_environment(self.environment)
        for each, state in zip(_SHARED, self.shared, strict=True):
            each._shared_state = state  # noqa: SLF001 (there is no public API)
        _apply_torch_settings(self.torch_settings)

    def isolated(self) -> ProcessState:
        """Return a copy that keeps only device and process group of accelerate's state."""
        processes = dict(self.shared[0])
        return ProcessState(dict(self.environment), dict(self.torch_settings), (processes, {}, {}))


@contextmanager
def isolated_state() -> Iterator[None]:
    """Enter with the settings of the launcher; restore the previous state on exit."""
    outside = ProcessState.current()
    inside = outside.isolated()
    _set_launched(inside.environment)
    inside.install()
    try:
        yield
    finally:
        outside.install()


@contextmanager
def launched_environment() -> Iterator[None]:
    """Do the same with the environment variables only, to build `TrainingArguments`."""
    outside = ProcessState.current()
    _set_launched(os.environ)
    try:
        yield
    finally:
        _set_environment(outside.environment)


def state_for(args: TrainingArguments) -> ProcessState:
    """Build the initial state of a Trainer with these arguments, whatever ran before it."""
    state = ProcessState.current().isolated()
    processes, variables = state.shared[0], state.environment
    if getattr(args, "distributed_state", None) is not None:
        processes |= vars(args.distributed_state)
    if args.world_size == 1:  # arguments for another device may have been built since
        processes |= {"device": args.device, "_cpu": args.device.type == "cpu"}
    _set_launched(variables)
    if args.fp16 or args.bf16:
        variables[PRECISION] = "fp16" if args.fp16 else "bf16"
    if args.torch_compile:
        variables[BACKEND] = args.torch_compile_backend or "inductor"
        if args.torch_compile_mode is not None:
            variables[MODE] = args.torch_compile_mode
    if LAUNCHER not in variables:
        for name, used in (("FSDP", args.fsdp), ("DEEPSPEED", args.deepspeed)):
            if not used:
                variables.pop(f"ACCELERATE_USE_{name}", None)
    return state


def _set_launched(variables: MutableMapping[str, str]) -> None:
    """Set the launcher's settings, in place."""
    for name in (PRECISION, BACKEND, MODE):
        variables.pop(name, None)
    variables.update(launched.LAUNCHED)


def _set_environment(variables: dict[str, str]) -> None:
    for name in [name for name in os.environ if _is_ours(name) and name not in variables]:
        del os.environ[name]
    os.environ.update(variables)


def _is_ours(name: str) -> bool:
    return name.startswith(_PREFIXES) or name in _DETERMINISM


def _torch_settings() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        **{f"cudnn.{name}": getattr(torch.backends.cudnn, name) for name in _CUDNN},
    }


def _apply_torch_settings(torch_settings: dict[str, Any]) -> None:
    now = _torch_settings()
    changed = {name: value for name, value in torch_settings.items() if value != now[name]}
    if "threads" in changed:
        torch.set_num_threads(changed["threads"])
    if "matmul_precision" in changed:  # cuda.matmul.allow_tf32 follows it
        torch.set_float32_matmul_precision(changed["matmul_precision"])
    if "deterministic" in changed:
        enabled, warn_only = changed["deterministic"]
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    for name in _CUDNN:
        if f"cudnn.{name}" in changed:
            setattr(torch.backends.cudnn, name, changed[f"cudnn.{name}"])
