"""A Trainer whose checkpoints hold adapters only."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import transformers

from mlmfast.peft_models import merged, without_adapters

if TYPE_CHECKING:
    from mlmfast.training.model.adapters import Adapter


class AdapterSaving(transformers.Trainer):
    """A Trainer that saves the adapters of its model, and merges them when it is told to.

    Attributes:
        adapter: the adapters that `train` added to the model; None without, and in scripts that
            add their own.
    """

    model: Any
    adapter: Adapter | None = None

    def merge_adapters(self) -> None:
        """Replace the model by one without adapters that computes the same.

        Raises:
            InputError: PEFT cannot merge them.
        """
        self.model = merged(self.model)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        model = self.model
        if self.adapter is None or without_adapters(model) is model:
            super()._save(output_dir, state_dict)
            return
        # PEFT would ask the Hub whether the vocabulary has changed, at every checkpoint.
        model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)
        try:
            super()._save(output_dir, state_dict)
        finally:
            del model.save_pretrained
