"""The log line about the sources of a mixture: `MixtureCallback`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import transformers

if TYPE_CHECKING:
    from mlmfast.training.trainer.block_batches import BlockBatches

logger = logging.getLogger(__name__)


class MixtureCallback(transformers.TrainerCallback):
    """Logs when the training begins how much of each source it will read, and how often."""

    def __init__(self, trainer: BlockBatches) -> None:
        self._trainer = trainer

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Log it."""
        sources = self._trainer.sources_read(state.max_steps)
        if sources:
            logger.info("mixture of %d steps: %s", state.max_steps, "; ".join(map(str, sources)))
