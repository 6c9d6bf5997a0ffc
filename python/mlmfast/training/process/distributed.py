"""Several processes that train one model: who writes, who waits, and how all fail together."""

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

# The others wait while rank 0 prepares text, which may take hours. A launcher ends all processes
# when one of them dies.
_TIMEOUT = timedelta(days=30)


class Processes:
    """The processes of `torchrun` or `accelerate launch`; without them, no method communicates.

    The processes exchange their errors in collective calls. After a failure, each process inside of
    `collective_errors` makes exactly one more such call, so that no process waits for one that has
    already left.

    Args:
        rank: the number of this process; rank 0 writes the output.
        count: the number of processes.
        group: a process group of all ranks that communicates between CPUs.
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
        """Join the process group if the environment names one; a single process otherwise.

        Args:
            use_cpu: whether the training runs on CPUs.
            backend: for the gradients; None takes gloo on CPUs and NCCL on GPUs.
            seconds: the timeout of a collective operation; None takes torch's default.
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
        group = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
        return cls(state.process_index, state.num_processes, group)

    @property
    def is_main_process(self) -> bool:
        """Whether this is rank 0, which writes the output."""
        return self.rank == 0

    def run_on_rank0(self, function: Callable[[], T]) -> T:
        """Call a function on rank 0 and return its result on all ranks; the others wait for it.

        Raises:
            OtherProcessError: on the other ranks, if the function failed on rank 0.
        """
        if self.count == 1:
            return function()
        error, result = None, None
        if self.is_main_process:
            try:
                result = function()
            except BaseException as raised:  # noqa: BLE001 (raised again in _gather_errors)
                error = raised
        return self._gather_errors(error, result)[0]

    @contextmanager
    def collective_errors(self) -> Iterator[None]:
        """Leave the block together with the other processes, or fail together with them."""
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
        """The optimizer steps, in which the processes wait for each other's gradients.

        A process that fails here cannot send its error to the others, which are inside of another
        collective operation. It ends, and the launcher ends the other processes.
        """
        try:
            yield
        except BaseException as raised:
            self._detached = True
            if self.count > 1 and not self.is_main_process:
                if _is_connection_lost(raised):
                    raise OtherProcessError("another process ended in the training") from raised
                # Only rank 0 shows the errors that all processes raise at the same step.
                if not isinstance(raised, NonFiniteLossError | KeyboardInterrupt):
                    _mark_as_own(raised)
            raise

    def all_reduce_max(self, number: int) -> int:
        """Return the largest of the numbers that the processes pass; a collective call."""
        if self.count == 1:
            return number
        largest = torch.tensor(number)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=self._group)
        return int(largest)

    def _gather_errors(self, error: BaseException | None, value: Any) -> list[Any]:
        """Exchange errors and values; raise if any process failed, else return all values."""
        outcomes: list[Any] = [None] * self.count
        mine = (None if error is None else str(error) or type(error).__name__, value)
        distributed.all_gather_object(outcomes, mine, group=self._group)
        failed = [rank for rank, (message, _) in enumerate(outcomes) if message is not None]
        if error is not None:
            self._detached = True
            if failed[0] != self.rank:
                raise OtherProcessError(f"process {failed[0]}: {outcomes[failed[0]][0]}") from error
            if self.rank:
                _mark_as_own(error)
            raise error
        if failed:
            self._detached = True
            raise OtherProcessError(f"process {failed[0]}: {outcomes[failed[0]][0]}")
        return [value for _, value in outcomes]


def destroy_process_group() -> None:
    """Leave the process group, if there is one, before the process ends.

    All processes must have finished the training: the call waits for pending collective operations.
    """
    if not distributed.is_initialized():
        return
    # The threads of a group end when its last reference goes, and the Trainer, whose model holds
    # one, is part of reference cycles. If the threads outlive the interpreter, they release Python
    # tensors too late, and the process ends by SIGABRT.
    gc.collect()
    distributed.destroy_process_group()


def _mark_as_own(error: BaseException) -> None:
    """Let the command line show this error although the process is not rank 0."""
    error.of_one_process = True  # type: ignore[attr-defined]


def _is_connection_lost(error: BaseException) -> bool:
    """Whether a collective operation failed because another process has ended."""
    if isinstance(error, distributed.DistError):
        return True
    words = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
