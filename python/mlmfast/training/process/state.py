"""What training changes for a whole process, kept to the one training that changes it.

accelerate keeps precision, device and data loaders in class attributes that all its objects share,
and reads what transformers tells it from environment variables, which a second `TrainingArguments`
does not take back; `full_determinism`, `tf32` and accelerate's set-up on CPUs switch torch itself.
Left there, the next training in the process would run in the precision of the last one.
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

SHARED = (PartialState, AcceleratorState, GradientState)
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
    """Environment variables, torch's switches, and what accelerate's objects share.

    Attributes:
        environment: the variables of accelerate, FSDP and determinism.
        switches: torch's, by name.
        shared: a dict for each class of `SHARED`.
    """

    environment: dict[str, str]
    switches: dict[str, Any]
    shared: tuple[Any, ...]

    @classmethod
    def current(cls) -> ProcessState:
        """Read what holds now."""
        environment = {name: value for name, value in os.environ.items() if _is_ours(name)}
        shared = tuple(vars(each)["_shared_state"] for each in SHARED)
        return cls(environment, _switches(), shared)

    def install(self) -> None:
        """Let this hold."""
        _set_environment(self.environment)
        for each, state in zip(SHARED, self.shared, strict=True):
            each._shared_state = state  # noqa: SLF001 (there is no public way)
        _switch(self.switches)

    def apart(self) -> ProcessState:
        """Copy it, with nothing of accelerate's but the device and the process group."""
        processes = dict(self.shared[0])
        return ProcessState(dict(self.environment), dict(self.switches), (processes, {}, {}))


@contextmanager
def isolated_state() -> Iterator[None]:
    """Begin with what the process was launched with; take back what is changed inside."""
    outside = ProcessState.current()
    inside = outside.apart()
    _as_launched(inside.environment)
    inside.install()
    try:
        yield
    finally:
        outside.install()


@contextmanager
def launched_environment() -> Iterator[None]:
    """The same of the environment alone, for making `TrainingArguments`."""
    outside = ProcessState.current()
    _as_launched(os.environ)
    try:
        yield
    finally:
        _set_environment(outside.environment)


def state_for(args: TrainingArguments) -> ProcessState:
    """Make what a Trainer with these arguments begins with, whatever others left behind."""
    state = ProcessState.current().apart()
    processes, variables = state.shared[0], state.environment
    if getattr(args, "distributed_state", None) is not None:
        processes |= vars(args.distributed_state)
    if args.world_size == 1:  # arguments for another device may have been made since
        processes |= {"device": args.device, "_cpu": args.device.type == "cpu"}
    _as_launched(variables)
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


def _as_launched(variables: MutableMapping[str, str]) -> None:
    for name in (PRECISION, BACKEND, MODE):
        variables.pop(name, None)
    variables.update(launched.LAUNCHED)


def _set_environment(variables: dict[str, str]) -> None:
    for name in [name for name in os.environ if _is_ours(name) and name not in variables]:
        del os.environ[name]
    os.environ.update(variables)


def _is_ours(name: str) -> bool:
    return name.startswith(_PREFIXES) or name in _DETERMINISM


def _switches() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "products": torch.get_float32_matmul_precision(),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        **{f"cudnn.{name}": getattr(torch.backends.cudnn, name) for name in _CUDNN},
    }


def _switch(switches: dict[str, Any]) -> None:
    now = _switches()
    changed = {name: value for name, value in switches.items() if value != now[name]}
    if "threads" in changed:
        torch.set_num_threads(changed["threads"])
    if "products" in changed:  # cuda.matmul.allow_tf32 is another name of it
        torch.set_float32_matmul_precision(changed["products"])
    if "deterministic" in changed:
        enabled, warn_only = changed["deterministic"]
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    for name in _CUDNN:
        if f"cudnn.{name}" in changed:
            setattr(torch.backends.cudnn, name, changed[f"cudnn.{name}"])
