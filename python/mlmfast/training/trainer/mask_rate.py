"""A mask rate that changes over the steps of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transformers

if TYPE_CHECKING:
    from mlmfast.training.datasets import MaskedBlocks


class MaskRateCallback(transformers.TrainerCallback):
    """Sets the number of steps over which the mask rate of the training blocks changes."""

    def __init__(self, blocks: MaskedBlocks) -> None:
        self._blocks = blocks

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Set it."""
        self._blocks.schedule(state.max_steps)
