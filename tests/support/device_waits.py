"""What makes the CPU wait for the GPU in the steps of a training."""

from __future__ import annotations

import traceback
import warnings
from contextlib import ExitStack

import torch
import transformers

from gpu import DRY_RUN

# Events of torch's profiler: a copy of memory that is not pinned waits for what runs on the GPU.
_UNPINNED = ("Pageable -> Device", "Device -> Pageable")


class WatchedSteps(transformers.TrainerCallback):
    """Watches the steps from `first` to `last`, counted from 0.

    Attributes:
        waits: where torch waited for the GPU: the innermost lines of Python, outermost first.
        copies: names of copies from or to memory that is not pinned.
        steps: how many steps were watched.
    """

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.waits: list[str] = []
        self.copies: list[str] = []
        self.steps = 0
        self._watching = ExitStack()

    def on_step_begin(self, _args, state, _control, **_kwargs):
        if state.global_step != self.first:
            return
        self._profile = self._watching.enter_context(torch.profiler.profile())
        caught = warnings.catch_warnings()
        self._watching.enter_context(caught)
        warnings.simplefilter("always")
        shown = warnings.showwarning

        def note(message, category, *where, **more):
            if "synchronizing CUDA operation" in str(message):
                frames = traceback.extract_stack()[:-1][-6:]
                self.waits.append(" > ".join(f"{f.filename}:{f.lineno}" for f in frames))
            else:
                shown(message, category, *where, **more)

        warnings.showwarning = note
        _report_waits(on=True)
        self._watching.callback(_report_waits, on=False)

    def on_step_end(self, _args, state, _control, **_kwargs):
        if not self.first < state.global_step <= self.last + 1:
            return
        self.steps += 1
        if state.global_step == self.last + 1:
            self._watching.close()
            self.copies = [
                event.name
                for event in self._profile.events()
                if any(kind in event.name for kind in _UNPINNED)
            ]


def _report_waits(*, on: bool) -> None:
    """Let torch warn of each operation that waits for the GPU."""
    if not DRY_RUN:
        torch.cuda.set_sync_debug_mode("warn" if on else "default")
