"""A training that ends early: finish the step and write a checkpoint."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from mlmfast.training.evaluation.metrics import Evaluation
    from mlmfast.training.process.distributed import Processes

_MAX_TIME = "max_time"
# Slurm's --signal=USR1, the signal of cluster managers before they kill a job, and Ctrl-C.
_SIGNALS = ("SIGUSR1", "SIGTERM", "SIGINT")
# If several processes have different causes, the last one in this order is reported.
_CAUSES = (_MAX_TIME, *_SIGNALS)
# The exit status of `timeout`.
_TIMED_OUT = 124
_NOTICE = "\nStopping after this step, with a checkpoint; Ctrl-C again stops at once.\n"


class TrainingInterrupted(KeyboardInterrupt):
    """A training ended before its last step; the message says how to resume it.

    Attributes:
        cause: `SIGINT` (Ctrl-C), `SIGTERM`, `SIGUSR1` or `max_time`.
        evaluation: the evaluation at the end, with `max_time`; otherwise None.
    """

    def __init__(
        self,
        message: str | None = None,
        cause: str = "SIGINT",
        evaluation: Evaluation | None = None,
    ) -> None:
        self.cause = cause
        self.evaluation = evaluation
        if message is None:
            message = f"{self.reason}: nothing half done was left behind."
        super().__init__(message)

    @property
    def reason(self) -> str:
        """Why it ended, as the beginning of a sentence."""
        known = {"SIGINT": "Interrupted", _MAX_TIME: "Stopped at the time limit (max_time)"}
        return known.get(self.cause, f"Stopped by {self.cause}")

    @property
    def exit_status(self) -> int:
        """The exit status of a command: 128 + the number of the signal; 124 for `max_time`."""
        return _TIMED_OUT if self.cause == _MAX_TIME else 128 + signal.Signals[self.cause]


class StopAtStep(TrainerCallback):
    """A context in which a signal or a time limit ends a training after a step.

    During the steps (`deferring_signals`), Ctrl-C, SIGTERM and SIGUSR1 end the training after the
    current step, with a checkpoint; a second Ctrl-C interrupts at once. Before and after the steps,
    each of them interrupts at once. Outside the main thread Python delivers no signals, and only
    the time limit works.

    Args:
        processes: the processes that train together; when one has to stop, all stop at that step.
        seconds: time limit of the training from now on; None for no limit.

    Attributes:
        cause: why the training ends early, one of `_CAUSES`; None otherwise.
        first_step: the step that the training starts at, or resumes from.
    """

    def __init__(self, processes: Processes, seconds: float | None = None) -> None:
        self.cause: str | None = None
        self.first_step = 0
        self._processes = processes
        self._end = None if seconds is None else time.monotonic() + seconds
        self._defers_signals = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in _SIGNALS:
                if number := getattr(signal, name, None):
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    @contextmanager
    def deferring_signals(self) -> Iterator[None]:
        """Defer signals to the end of the current step."""
        self._defers_signals = True
        try:
            yield
        finally:
            self._defers_signals = False

    def _receive(self, number: int, _frame: Any) -> None:
        name = signal.Signals(number).name
        first = self.cause in (None, _MAX_TIME)
        if not self._defers_signals:
            raise TrainingInterrupted(cause=name)
        if name == "SIGINT" and not first:
            raise KeyboardInterrupt
        if first:
            self.cause = name
            if self._processes.is_main_process:
                sys.stderr.write(_NOTICE)

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Record the first step: a stop before the next one has nothing new to write."""
        self.first_step = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Stop here with a checkpoint if there is a cause; at the time limit also evaluate."""
        self._share_cause(state)
        if self.cause is None:
            return
        control.should_training_stop = True
        control.should_evaluate = self.cause == _MAX_TIME and args.eval_strategy != "no"
        _request_checkpoint(args, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Stop after an evaluation during which a signal came, without another step."""
        if state.global_step:
            self._share_cause(state)
            if self.cause is not None:
                control.should_training_stop = True
                _request_checkpoint(args, control)

    def on_prediction_step(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Abort an evaluation on a signal: it can take longer than the sender of the signal waits.

        With several processes it continues, since each is at a batch of its own.
        """
        if self.cause in _SIGNALS and self._processes.count == 1:
            raise TrainingInterrupted(cause=str(self.cause))

    def on_epoch_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        """Skip evaluation and checkpoint at the end of the epoch: the step has written one."""
        if self.cause is not None:
            control.should_evaluate = False
            control.should_save = False

    def _share_cause(self, state: Any) -> None:
        """Share the cause between all processes; a collective call after the same step."""
        cause = self.cause
        timed_out = self._end is not None and time.monotonic() >= self._end
        # After the last step there is nothing to stop.
        if cause is None and timed_out and state.global_step < state.max_steps:
            cause = _MAX_TIME
        number = self._processes.all_reduce_max(0 if cause is None else 1 + _CAUSES.index(cause))
        if number:
            self.cause = _CAUSES[number - 1]


def _request_checkpoint(args: Any, control: Any) -> None:
    """Request a checkpoint to resume from, whatever the options for other checkpoints."""
    control.should_save = True
    args.save_only_model = False
    # With "best", the Trainer saves only a better model, and decides so after this call.
    if args.save_strategy == SaveStrategy.BEST:
        args.save_strategy = SaveStrategy.STEPS
