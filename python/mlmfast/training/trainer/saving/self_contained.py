"""A Trainer that restores the state of the process and of the model."""

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
    """A Trainer whose process-wide settings are active only during its own methods.

    After `train`, `evaluate`, `predict` and `save_model`, accelerate and torch have their previous
    settings again, and the model its own `forward`: several trainings in one process, in any order,
    on one model or on several, each compute in the precision of their own arguments.
    """

    model: Any
    args: transformers.TrainingArguments

    def __init__(
        self, model: Any = None, args: transformers.TrainingArguments | None = None, **kwargs: Any
    ) -> None:
        if args is None:
            args = transformers.TrainingArguments(output_dir="tmp_trainer")  # as the Trainer does
        self._process_state = state_for(args)
        # The model that accelerate wrapped for this trainer, and its wrapped `forward`.
        self._wrapped: tuple[Any, dict[str, Any]] = (None, {})
        self._is_active = False
        with self._active():
            # A copy: changes that this Trainer makes must not reach the next one.
            own = copy.copy(args)
            if hasattr(own, "mixed_precision"):  # transformers 5 stores the value of the variable
                own.mixed_precision = self._process_state.environment.get(PRECISION, "no")
            super().__init__(model, own, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as the Trainer does, with its arguments and result."""
        with self._active():
            checkpointing, input_hooks = is_checkpointing(self.model), has_input_hooks(self.model)
            try:
                return super().train(*args, **kwargs)
            finally:
                if self.args.gradient_checkpointing and not checkpointing:
                    disable_checkpointing(self.model, input_hooks=input_hooks)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate as the Trainer does, with its arguments and result."""
        with self._active():
            return super().evaluate(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Predict as the Trainer does, with its arguments and result."""
        with self._active():
            return super().predict(*args, **kwargs)

    def save_model(self, *args: Any, **kwargs: Any) -> Any:
        """Save as the Trainer does, with its arguments and result."""
        with self._active():
            return super().save_model(*args, **kwargs)

    def remove_hooks(self) -> None:
        """Remove the hooks that stay on the model between its calls, if any."""

    @contextmanager
    def _active(self) -> Iterator[None]:
        """Activate the settings of this trainer; a nested call does nothing."""
        if self._is_active:
            yield
            return
        outside = ProcessState.current()
        model = getattr(self, "model", None)
        previous = {} if model is None else forward_of(model)
        if model is not None:
            wrapped_model, forward = self._wrapped
            set_forward(model, forward if wrapped_model is model else without_wrappers(model))
        self._process_state.install()
        self._is_active = True
        try:
            yield
        finally:
            self._is_active = False
            self._process_state = ProcessState.current()
            outside.install()
            self._restore_forward(model, previous)

    def _restore_forward(self, model: Any, previous: dict[str, Any]) -> None:
        self.remove_hooks()
        now = getattr(self, "model", None)
        if now is None:
            return
        if now is model:
            self._wrapped = (now, forward_of(now))
            set_forward(now, previous)
        elif model is not None:  # created by `model_init`, so it has no previous `forward`
            self._wrapped = (now, forward_of(now))
            set_forward(now, without_wrappers(now))
