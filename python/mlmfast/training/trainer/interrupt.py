"""A training that ends early: finish the step, write a checkpoint, say how to go on."""

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
# Ctrl-C, what cluster managers send before they kill, and what Slurm's --signal=USR1 is used for.
_SIGNALS = ("SIGUSR1", "SIGTERM", "SIGINT")
# Of several causes in several processes, the later one in this order is told.
_CAUSES = (_MAX_TIME, *_SIGNALS)
# As `timeout` ends where the time was up.
_TIMED_OUT = 124
_NOTICE = "\nStopping after this step, with a checkpoint; Ctrl-C again stops at once.\n"


class TrainingInterrupted(KeyboardInterrupt):
    """A training ended before its last step; the message says what remains and how to go on.

    Attributes:
        cause: `SIGINT` (Ctrl-C), `SIGTERM`, `SIGUSR1` or `max_time`.
        evaluation: what was measured at the end, with `max_time`; else None.
    """

    def __init__(
        self,
        message: str | None = None,
        cause: str = "SIGINT",
        evaluation: Evaluation | None = None,
    ) -> None:
        self.cause = cause
        self.evaluation = evaluation
        nothing = f"{self.reason}: nothing half done was left behind."
        super().__init__(nothing if message is None else message)

    @property
    def reason(self) -> str:
        """Why it ended, as the beginning of a sentence."""
        known = {"SIGINT": "Interrupted", _MAX_TIME: "Stopped, since the time is up (max_time)"}
        return known.get(self.cause, f"Stopped by {self.cause}")

    @property
    def exit_status(self) -> int:
        """How a command ends: 128 + the signal's number, as shells have it; 124 for `max_time`."""
        return _TIMED_OUT if self.cause == _MAX_TIME else 128 + signal.Signals[self.cause]


class StopAtStep(TrainerCallback):
    """A context in which a signal or a time limit ends a training after a step.

    During the steps (`deferring_signals`), Ctrl-C, SIGTERM and SIGUSR1 end the training after the
    current step, with a checkpoint; a second Ctrl-C interrupts at once. Before and after the steps,
    each of them interrupts at once. Outside the main thread Python delivers no signals, and only
    the time limit works.

    Args:
        processes: those that train together; when one is to stop, all stop after that step.
        seconds: that the training may take from now on; None for any time.

    Attributes:
        cause: why the training ends early, one of `_CAUSES`; None while it does not.
        first_step: the step that the training begins at, or goes on from.
    """

    def __init__(self, processes: Processes, seconds: float | None = None) -> None:
        self.cause: str | None = None
        self.first_step = 0
        self._processes = processes
        self._end = None if seconds is None else time.monotonic() + seconds
        self._in_steps = False
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
            # None is a handler that was not installed from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    @contextmanager
    def deferring_signals(self) -> Iterator[None]:
        """The optimizer steps, and the evaluations and checkpoints between them."""
        self._in_steps = True
        try:
            yield
        finally:
            self._in_steps = False

    def _receive(self, number: int, _frame: Any) -> None:
        name = signal.Signals(number).name
        first = self.cause in (None, _MAX_TIME)
        if not self._in_steps:
            raise TrainingInterrupted(cause=name)
        if name == "SIGINT" and not first:
            raise KeyboardInterrupt
        if first:
            self.cause = name
            if self._processes.is_main_process:
                sys.stderr.write(_NOTICE)

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Note the step: a stop before the next one has nothing new to write."""
        self.first_step = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Stop here, with a checkpoint; where the time is up, with an evaluation too."""
        self._agree(state)
        if self.cause is None:
            return
        control.should_training_stop = True
        control.should_evaluate = self.cause == _MAX_TIME and args.eval_strategy != "no"
        _save(args, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Stop after an evaluation in which a signal came, without a further step."""
        if state.global_step:
            self._agree(state)
            if self.cause is not None:
                control.should_training_stop = True
                _save(args, control)

    def on_prediction_step(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Leave an evaluation at once: it can take longer than those who sent the signal wait.

        Several processes go on to its end: here, each has batches of its own.
        """
        if self.cause in _SIGNALS and self._processes.count == 1:
            raise TrainingInterrupted(cause=str(self.cause))

    def on_epoch_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        """Skip the evaluation and the checkpoint of the epoch's end: the step's is written."""
        if self.cause is not None:
            control.should_evaluate = False
            control.should_save = False

    def _agree(self, state: Any) -> None:
        """Let all processes know why any of them is to stop; all ask after the same step."""
        cause = self.cause
        late = self._end is not None and time.monotonic() >= self._end
        # After the last step there is nothing to stop.
        if cause is None and late and state.global_step < state.max_steps:
            cause = _MAX_TIME
        number = self._processes.all_reduce_max(0 if cause is None else 1 + _CAUSES.index(cause))
        if number:
            self.cause = _CAUSES[number - 1]


def _save(args: Any, control: Any) -> None:
    """Have a checkpoint written that a training can go on from, however others are written."""
    control.should_save = True
    args.save_only_model = False
    # Of itself, the Trainer saves with "best" only what is better, which it finds out afterwards.
    if args.save_strategy == SaveStrategy.BEST:
        args.save_strategy = SaveStrategy.STEPS
