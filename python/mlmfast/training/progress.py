"""What a training shows while it runs: a bar, and a line a log, on stderr only."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

SHOWN = {
    "loss": "loss {:.4f}",
    "learning_rate": "learning rate {:.2e}",
    "eval_loss": "evaluation loss {:.4f}",
    "eval_perplexity": "perplexity {:,.2f}",
    "eval_top1": "top-1 {:.1%}",
}


class Progress(TrainerCallback):
    """Show steps with rate and time left (on a terminal), and the figures of each log.

    The Trainer's own callbacks print to stdout, which belongs to the command's answer.
    """

    def __init__(self) -> None:
        self.bar: tqdm | None = None

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Draw the bar."""
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
        _args: Any,
        state: Any,
        _control: Any,
        logs: dict[str, Any] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Write a line with the figures that people look for."""
        parts = [text.format(logs[name]) for name, text in SHOWN.items() if logs and name in logs]
        if parts:
            line = f"step {state.global_step}/{state.max_steps}: {', '.join(parts)}"
            tqdm.write(line, file=sys.stderr)

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Take the bar off the screen's last line."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
