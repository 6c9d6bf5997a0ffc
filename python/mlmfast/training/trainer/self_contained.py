"""A Trainer that leaves the process and the model as it found them."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import transformers

from mlmfast.training.model.checkpointing import (
    disable_checkpointing,
    has_input_hooks,
    is_checkpointing,
)
from mlmfast.training.model.wrapped_forward import forward_of, set_forward, without_wrappers
from mlmfast.training.process.launched import PRECISION
from mlmfast.training.process.state import ProcessState, state_for

if TYPE_CHECKING:
    from collections.abc import Iterator


class SelfContainedTrainer(transformers.Trainer):
    """A Trainer whose settings hold while it works, and only for itself.

    Between `train`, `evaluate`, `predict` and `save_model` the process has back what accelerate and
    torch were set to before, and the model its own `forward`: two trainings in one process, in any
    order, on one model or on two, each compute in the precision that their arguments name.
    """

    model: Any
    args: transformers.TrainingArguments

    def __init__(
        self, model: Any = None, args: transformers.TrainingArguments | None = None, **kwargs: Any
    ) -> None:
        if args is None:
            args = transformers.TrainingArguments(output_dir="tmp_trainer")  # as the Trainer does
        self._process_state = state_for(args)
        # The model that this trainer has wrapped, and its wrapped `forward`.
        self._wrapped: tuple[Any, dict[str, Any]] = (None, {})
        self._is_at_work = False
        with self._at_work():
            # A copy: what a Trainer changes in its arguments is no business of the next one's.
            own = copy.copy(args)
            if hasattr(own, "mixed_precision"):  # transformers 5 keeps what the variable was
                own.mixed_precision = self._process_state.environment.get(PRECISION, "no")
            super().__init__(model, own, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as the Trainer does; takes and gives what it does."""
        with self._at_work():
            checkpointing, input_hooks = is_checkpointing(self.model), has_input_hooks(self.model)
            try:
                return super().train(*args, **kwargs)
            finally:
                if self.args.gradient_checkpointing and not checkpointing:
                    disable_checkpointing(self.model, input_hooks=input_hooks)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Measure as the Trainer does; takes and gives what it does."""
        with self._at_work():
            return super().evaluate(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Predict as the Trainer does; takes and gives what it does."""
        with self._at_work():
            return super().predict(*args, **kwargs)

    def save_model(self, *args: Any, **kwargs: Any) -> Any:
        """Save as the Trainer does; takes and gives what it does."""
        with self._at_work():
            return super().save_model(*args, **kwargs)

    def take_hooks_off(self) -> None:
        """Remove the hooks that are on the model, if any stay there between its calls."""

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Let this trainer's settings hold; nested, nothing more happens."""
        if self._is_at_work:
            yield
            return
        outside = ProcessState.current()
        model = getattr(self, "model", None)
        found = {} if model is None else forward_of(model)
        if model is not None:
            wrapped_model, forward = self._wrapped
            set_forward(model, forward if wrapped_model is model else without_wrappers(model))
        self._process_state.install()
        self._is_at_work = True
        try:
            yield
        finally:
            self._is_at_work = False
            self._process_state = ProcessState.current()
            outside.install()
            self._put_back(model, found)

    def _put_back(self, model: Any, found: dict[str, Any]) -> None:
        self.take_hooks_off()
        now = getattr(self, "model", None)
        if now is None:
            return
        if now is model:
            self._wrapped = (now, forward_of(now))
            set_forward(now, found)
        elif model is not None:  # made by `model_init`, so nobody else's before
            self._wrapped = (now, forward_of(now))
            set_forward(now, without_wrappers(now))
