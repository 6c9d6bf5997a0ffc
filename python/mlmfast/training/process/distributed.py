"""Several processes that train one model: who writes, who waits, and how all end with one error."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from mlmfast.errors import NonFiniteLossError, OtherProcessError

T = TypeVar("T")

# Preparing text may take hours, for which the others wait; a process that dies ends all.
PATIENCE = timedelta(days=30)


class Processes:
    """One process among those of `torchrun` or `accelerate launch`; alone, all of it is free.

    Errors are told to the others at the points where all meet. Each process that is inside of
    `together` goes to exactly one such point after a failure, so that nobody waits for somebody who
    has gone.

    Args:
        rank: this process's number; 0 writes the output.
        count: number of processes.
        group: a group of all that talks between CPUs.
    """

    def __init__(self, rank: int = 0, count: int = 1, group: Any = None) -> None:
        self.rank = rank
        self.count = count
        self._group = group
        self._detached = False

    @classmethod
    def join(
        cls, *, use_cpu: bool, backend: str | None = None, seconds: int | None = None
    ) -> Processes:
        """Meet the other processes, where the environment says that there are others.

        Args:
            use_cpu: whether the training computes on CPUs.
            backend: of the gradients' exchange; None for gloo on CPUs, NCCL on GPUs.
            seconds: that a process waits for another one's gradients; None for torch's own.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1 and not distributed.is_initialized():
            return cls()
        from accelerate import PartialState

        given: dict[str, Any] = {} if backend is None else {"backend": backend}
        if seconds is not None:
            given["timeout"] = timedelta(seconds=seconds)
        state = PartialState(cpu=use_cpu, **given)
        if state.num_processes == 1:
            return cls()
        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        return cls(state.process_index, state.num_processes, group)

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def run_on_rank0(self, make: Callable[[], T]) -> T:
        """Let the first process make something, and give it to all; the others wait.

        Raises:
            OtherProcessError: it failed, in the others; in the first, its own error.
        """
        if self.count == 1:
            return make()
        error, made = None, None
        if self.is_main_process:
            try:
                made = make()
            except BaseException as raised:  # noqa: BLE001 (raised again once the others know)
                error = raised
        return self._gather_errors(error, made)[0]

    @contextmanager
    def collective_errors(self) -> Iterator[None]:
        """Leave the block with the others, or fail with them."""
        if self.count == 1:
            yield
            return
        error = None
        try:
            yield
        except OtherProcessError:
            raise
        except BaseException as raised:
            if self._detached:
                raise
            error = raised
        self._gather_errors(error, None)

    @contextmanager
    def local_errors(self) -> Iterator[None]:
        """The training itself, in which processes wait for each other's gradients.

        An error here cannot be told to the others, who wait for something else: this process ends,
        and what started the processes ends them.
        """
        try:
            yield
        except BaseException as raised:
            self._detached = True
            if self.count > 1 and not self.is_main_process:
                if _has_lost_another(raised):
                    raise OtherProcessError("another process ended in the training") from raised
                # What all find at the same step is said once.
                if not isinstance(raised, NonFiniteLossError | KeyboardInterrupt):
                    _mark_as_own(raised)
            raise

    def all_reduce_max(self, number: int) -> int:
        """Give the largest of all processes' numbers; all ask at the same point."""
        if self.count == 1:
            return number
        found = torch.tensor(number)
        distributed.all_reduce(found, distributed.ReduceOp.MAX, group=self._group)
        return int(found)

    def _gather_errors(self, error: BaseException | None, value: Any) -> list[Any]:
        told: list[Any] = [None] * self.count
        mine = (None if error is None else str(error) or type(error).__name__, value)
        distributed.all_gather_object(told, mine, group=self._group)
        failed = [rank for rank, (message, _) in enumerate(told) if message is not None]
        if error is not None:
            self._detached = True
            if failed[0] != self.rank:
                raise OtherProcessError(f"process {failed[0]}: {told[failed[0]][0]}") from error
            if self.rank:
                _mark_as_own(error)
            raise error
        if failed:
            self._detached = True
            raise OtherProcessError(f"process {failed[0]}: {told[failed[0]][0]}")
        return [value for _, value in told]


def destroy_process_group() -> None:
    """Part from the other processes, if there are any, where this one is about to end.

    All of them must have come through the training: the exchange that a group's threads are in the
    middle of is waited for.
    """
    if not distributed.is_initialized():
        return
    # A group's threads end with its last holder, and the Trainer, whose model holds one, lies in
    # cycles. Left until the interpreter ends, they would let go of Python's tensors when that is
    # no longer possible, which ends the process by SIGABRT.
    gc.collect()
    distributed.destroy_process_group()


def _mark_as_own(error: BaseException) -> None:
    """Let the command line show an error of a process that is not the first."""
    error.of_one_process = True  # type: ignore[attr-defined]


def _has_lost_another(error: BaseException) -> bool:
    """Whether an exchange between processes broke off, because one of them is gone."""
    if isinstance(error, distributed.DistError):
        return True
    words = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
