"""The folder that a training writes, beside the weights."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mlmfast.torch_models import max_input_length
from mlmfast.training.report.documents import write_documents
from mlmfast.training.report.model_card import card_arguments

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.training.fit import TrainResult
    from mlmfast.training.setup.config import TrainConfig
    from mlmfast.training.trainer.mlm_trainer import MLMTrainer
    from mlmfast.training.trainer.saving.run_dir import RunDir

logger = logging.getLogger(__name__)

LAST_WEIGHTS = "last"
"""The folder of the output with the weights of the last step, beside their average."""


def write_output(
    folder: Path, config: TrainConfig, trainer: MLMTrainer, result: TrainResult, run_dir: RunDir
) -> None:
    """Write tokenizer, model card, report and logs beside the weights in a folder."""
    store = trainer.train_dataset.store
    tokenizer = store.tokenizer
    if config.length.given and (positions := max_input_length(trainer.model)):
        tokenizer = tokenizer.with_max_length(positions.usable)
    tokenizer.save(folder)
    if result.average is not None:
        tokenizer.save(folder / LAST_WEIGHTS)
    elif config.averaging is not None:
        logger.warning(
            "there was no checkpoint to average: the model has the weights of the last step"
        )
    write_documents(
        folder,
        result,
        store,
        log=trainer.state.log_history,
        base_model=config.base_model,
        masks=config.masks,
        distillation=config.distillation.describe(),
        arguments=card_arguments(
            trainer.args.to_dict(), config.training_arguments, phases=bool(result.phases)
        ),
        report=config.report,
    )
    run_dir.move_logs_to(folder)
    if config.keep_checkpoints:
        run_dir.move_checkpoints_to(folder)
