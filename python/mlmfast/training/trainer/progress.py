"""What a training shows while it runs: a bar, and a line a log, on stderr only."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

SHOWN = {
    "loss": "loss {:.4f}",
    "learning_rate": "learning rate {:.2e}",
    "eval_loss": "evaluation loss {:.4f}",
    "eval_perplexity": "perplexity {:,.2f}",
    "eval_top1": "top-1 {:.1%}",
    "tokens_per_second": "{:,.0f} tokens/s",
    "mfu": "MFU {:.1%}",
}
_SPEED = ("tokens_per_second", "mfu")
# Between two lines with a loss, where the user did not say how often to log.
_SECONDS_BETWEEN_LINES = 5.0


class Progress(TrainerCallback):
    """Show steps with rate and time left (on a terminal), and the figures of each log.

    The Trainer's own callbacks print to stdout, which belongs to the command's answer.
    """

    def __init__(self) -> None:
        self.bar: tqdm | None = None
        self._first = 0
        self._began = self._said = 0.0

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Draw the bar."""
        self._first, self._began = state.global_step, time.perf_counter()
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
        """Write a line with the figures that people look for."""
        logs = logs or {}
        parts = [text.format(logs[name]) for name, text in SHOWN.items() if name in logs]
        if not parts:
            return
        now = time.perf_counter()
        if "loss" in logs:
            parts.append(f"{self._left(state)} left")
            if self.bar is not None:
                speed = [SHOWN[name].format(logs[name]) for name in _SPEED if name in logs]
                self.bar.set_postfix_str(", ".join(speed), refresh=False)
            often = args.logging_steps < 1 and state.global_step < state.max_steps
            if often and now - self._said < _SECONDS_BETWEEN_LINES:
                return
            self._said = now
        line = f"step {state.global_step}/{state.max_steps}: {', '.join(parts)}"
        tqdm.write(line, file=sys.stderr)

    def _left(self, state: Any) -> str:
        """Say how long the remaining steps take, evaluations and all, going by those so far."""
        done = max(1, state.global_step - self._first)
        passed = time.perf_counter() - self._began
        return tqdm.format_interval((state.max_steps - state.global_step) * passed / done)

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Take the bar off the screen's last line."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
