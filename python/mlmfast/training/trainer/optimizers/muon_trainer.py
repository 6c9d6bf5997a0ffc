"""A Trainer with Muon among its optimizers: `MuonTrainer`."""

from __future__ import annotations

import logging
from typing import Any

import torch

from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.peft_models import without_adapters
from mlmfast.training.options.arguments import MUON
from mlmfast.training.trainer.optimizers.muon import MuonWithAdamW, matrices_of
from mlmfast.training.trainer.saving.checkpoints import AtomicCheckpoints

logger = logging.getLogger(__name__)


class MuonTrainer(AtomicCheckpoints):
    """A Trainer that takes `args.optim = "muon"`, too."""

    optimizer: Any

    def create_optimizer(self, *args: Any) -> Any:
        """Create the Trainer's optimizer; or Muon for the layers' matrices, AdamW for the rest."""
        if self.args.optim != MUON or self.optimizer is not None:
            return self._create_other(*args)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise InputError(
                "optim muon does not work with FSDP or DeepSpeed, which divide the matrices: start "
                "the processes with torchrun alone (DDP)."
            )
        model: Any = self.model
        if without_adapters(model) is not model:
            raise InputError(
                "optim muon is for whole matrices, and the adapters of lora are their factors: "
                "train all weights, or take another optimizer."
            )
        matrices = matrices_of(model)
        own = set(map(id, matrices))
        decayed = set(self.get_decay_parameter_names(model))
        rest = [
            (name, each)
            for name, each in model.named_parameters()
            if each.requires_grad and id(each) not in own
        ]
        groups = [
            {
                "params": [each for name, each in rest if (name in decayed) == decays],
                "weight_decay": self.args.weight_decay if decays else 0.0,
            }
            for decays in (True, False)
        ]
        arguments = self.args
        self.optimizer = MuonWithAdamW(
            matrices,
            [group for group in groups if group["params"]],
            lr=arguments.learning_rate,
            weight_decay=arguments.weight_decay,
            betas=(arguments.adam_beta1, arguments.adam_beta2),
            eps=arguments.adam_epsilon,
        )
        logger.info(
            "Muon trains %s of %s weights (%d matrices of the layers), AdamW the rest",
            f"{_count(matrices):,}",
            f"{_count([*matrices, *(each for _, each in rest)]):,}",
            len(matrices),
        )
        return self.optimizer

    def _create_other(self, *args: Any) -> Any:
        """Create an optimizer of transformers, many of which need packages of their own."""
        try:
            return super().create_optimizer(*args)
        except (ImportError, ValueError) as error:
            kind = MissingDependencyError if isinstance(error, ImportError) else InputError
            name = getattr(self.args.optim, "value", self.args.optim)
            raise kind(f"optim {name} cannot be used: {error}") from error


def _count(parameters: list[torch.Tensor]) -> int:
    return sum(each.numel() for each in parameters)
