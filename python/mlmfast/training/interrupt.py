"""Ctrl-C in a training: finish the step, write a checkpoint, say how to go on."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from transformers import TrainerCallback

if TYPE_CHECKING:
    from types import TracebackType

    from mlmfast.training.processes import Processes


class TrainingInterrupted(KeyboardInterrupt):
    """A training was stopped by Ctrl-C; the message says what remains and how to go on."""


NOTICE = "\nStopping after this step, with a checkpoint; Ctrl-C again stops at once.\n"


class StopAtStep(TrainerCallback):
    """A context in which the first Ctrl-C ends a training after its step, with a checkpoint.

    A second Ctrl-C interrupts at once. Outside the main thread Python delivers no signals, and the
    context does nothing.

    Args:
        processes: those that train together; when one is interrupted, all stop after that step.
    """

    def __init__(self, processes: Processes) -> None:
        self.stopped = False
        self._processes = processes

    def __enter__(self) -> Self:
        self._previous: Any = None
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _stop(self, _signal: int, _frame: Any) -> None:
        self.stopped = True
        self._restore()
        if self._processes.is_first:
            sys.stderr.write(NOTICE)

    def _restore(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        """Stop here, with a checkpoint."""
        self.stopped = self._processes.any(self.stopped)
        if self.stopped:
            control.should_training_stop = True
            control.should_evaluate = False
            control.should_save = True

    def on_prediction_step(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Stop at once where nothing would be lost: in the evaluation before the first step.

        Several processes stop after the first step: here, each has batches of its own.
        """
        if self.stopped and state.global_step == 0 and self._processes.count == 1:
            raise KeyboardInterrupt

    def on_epoch_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        """Skip the evaluation and the checkpoint of the epoch's end: the step's is written."""
        if self.stopped:
            control.should_evaluate = False
            control.should_save = False
