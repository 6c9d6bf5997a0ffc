"""Progress of a training on stderr: a bar, and a line per log."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

SHOWN = {
    "loss": "loss {:.4f}",
    "distillation_loss": "from the teacher {:.4f}",
    "mlm_loss": "from the labels {:.4f}",
    "hidden_loss": "from hidden states {:.4f}",
    "learning_rate": "learning rate {:.2e}",
    "eval_loss": "evaluation loss {:.4f}",
    "eval_perplexity": "perplexity {:,.2f}",
    "eval_averaged_perplexity": "of the averaged weights {:,.2f}",
    "eval_top1": "top-1 {:.1%}",
    "tokens_per_second": "{:,.0f} tokens/s",
    "mfu": "MFU {:.1%}",
}
_SPEED = ("tokens_per_second", "mfu")
# Minimum between two lines with a loss, if the user did not set `logging_steps`.
_SECONDS_BETWEEN_LINES = 5.0


class Progress(TrainerCallback):
    """Shows steps, rate and remaining time (on a terminal), and the metrics of each log.

    The callbacks of the Trainer print to stdout, which is for the result of the command.
    """

    def __init__(self) -> None:
        self.bar: tqdm | None = None
        self._first = 0
        self._start = self._last_line = 0.0

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Draw the bar."""
        self._first, self._start = state.global_step, time.perf_counter()
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="train",
            unit="step",
            disable=None,
        )

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: Any,
        state: Any,
        _control: Any,
        logs: dict[str, Any] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Write a line with the most important metrics."""
        logs = logs or {}
        parts = [text.format(logs[name]) for name, text in SHOWN.items() if name in logs]
        if not parts:
            return
        now = time.perf_counter()
        if "loss" in logs:
            parts.append(f"{self._remaining_time(state)} left")
            if self.bar is not None:
                speed = [SHOWN[name].format(logs[name]) for name in _SPEED if name in logs]
                self.bar.set_postfix_str(", ".join(speed), refresh=False)
            throttle = args.logging_steps < 1 and state.global_step < state.max_steps
            if throttle and now - self._last_line < _SECONDS_BETWEEN_LINES:
                return
            self._last_line = now
        line = f"step {state.global_step}/{state.max_steps}: {', '.join(parts)}"
        tqdm.write(line, file=sys.stderr)

    def _remaining_time(self, state: Any) -> str:
        """Estimate the time of the remaining steps, with evaluations, from the steps so far."""
        done = max(1, state.global_step - self._first)
        passed = time.perf_counter() - self._start
        return tqdm.format_interval((state.max_steps - state.global_step) * passed / done)

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar, so that later output starts on a line of its own."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
