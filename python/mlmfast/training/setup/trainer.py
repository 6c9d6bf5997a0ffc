"""The trainer of a training, from its model to its callbacks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import transformers

from mlmfast.errors import InputError
from mlmfast.training.model.compile import choose_compiling, tokens_of
from mlmfast.training.model.positions.rotations import Rotations
from mlmfast.training.phased_blocks import PhasedBlocks
from mlmfast.training.report import hub
from mlmfast.training.setup.arguments import choose_arguments
from mlmfast.training.setup.distillation import build_teacher
from mlmfast.training.setup.model import adapt_model, build_model
from mlmfast.training.setup.teacher_answers import TrainingAnswers
from mlmfast.training.trainer.distillation_trainer import DistillationTrainer
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from mlmfast.training.trainer.phases.rotations import RotationCallback
from mlmfast.training.trainer.saving.best_model import choose_best_metric
from mlmfast.training.trainer.saving.resume_changes import check_resumed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
    from mlmfast.training.model.adapters import Adapter
    from mlmfast.training.process.distributed import Processes
    from mlmfast.training.setup.config import TrainConfig
    from mlmfast.training.trainer.saving.run_dir import RunDir


def build_trainer(
    config: TrainConfig,
    train_blocks: MaskedBlocks,
    eval_blocks: EvaluationBlocks | None,
    *,
    run_dir: RunDir,
    checkpoint: Path | None,
    processes: Processes,
) -> MLMTrainer:
    """Build the model, the training arguments and the trainer.

    With `push_to_hub`, the repository is created too, and its full name is the trainer's
    `args.hub_model_id`.

    Args:
        config: the options of the training.
        train_blocks: what to train on.
        eval_blocks: what to measure on; None to measure nothing.
        run_dir: where the trainer keeps its checkpoints.
        checkpoint: the checkpoint to resume from; None for a new training.
        processes: the processes that train together.

    Raises:
        InputError: an option, or a model that does not fit the blocks or the checkpoint.
        NotFoundError: the model does not exist.
    """
    transformers.set_seed(config.seed)
    eval_store = None if eval_blocks is None else eval_blocks.store
    stored = None
    if config.distillation.teacher_answers is not None:
        stored = TrainingAnswers(config, train_blocks, processes)
    teacher = None
    if stored is None or not stored.complete or config.distillation.makes_student:
        teacher = build_teacher(config, train_blocks.store, eval_store)
    model: Any = build_model(config, train_blocks.store, eval_store, teacher)
    rotations = _rotations(config, model, train_blocks)
    given = config.training_arguments
    adapter: Adapter | None = None
    if config.lora is not None:
        model, adapter = adapt_model(config, config.lora, model, train_blocks.store)
    if isinstance(train_blocks, PhasedBlocks):
        tokens = train_blocks.tokens_read(0, 1)
    else:
        length = train_blocks.store.block_size
        tokens = tokens_of(given, len(train_blocks), length, processes.count)
    arguments = choose_arguments(
        run_dir.path,
        given | choose_best_metric(given, eval_store),
        seed=config.seed,
        # Weights in bf16 cannot be computed with in fp32.
        precision="bf16" if model.dtype == torch.bfloat16 else config.precision,
        measured=eval_store is not None,
        resumed=checkpoint is not None,
        compiling=lambda device: choose_compiling(device, model, tokens, gpus=processes.count),
    )
    processes.run_on_rank0(partial(check_resumed, checkpoint, arguments, override=config.override))
    if config.push_to_hub:
        arguments.hub_model_id = processes.run_on_rank0(
            partial(hub.make_repository, config.output.name, arguments)
        )
    make: Callable[..., MLMTrainer] = MLMTrainer
    if stored is not None:
        answers = stored.completed(teacher, model, arguments)
        del teacher  # its memory is free in the training
        make = partial(DistillationTrainer, answers=answers, weights=config.distillation.weights)
    elif teacher is not None:
        weights = config.distillation.weights
        make = partial(DistillationTrainer, teacher=teacher, weights=weights)
    trainer = make(
        model,
        arguments,
        train_dataset=train_blocks,
        eval_dataset=eval_blocks,
        callbacks=list(config.callbacks),
        documents=config.document_mode,
        average_checkpoints=config.averaging,
    )
    if adapter is not None and (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        raise InputError(
            "lora does not work with FSDP or DeepSpeed, which divide the weights: start the "
            "processes with torchrun alone (DDP), or train all weights."
        )
    if rotations is not None and isinstance(train_blocks, PhasedBlocks):
        trainer.add_callback(RotationCallback(rotations, train_blocks.phases))
    trainer.adapter = adapter
    trainer.override, trainer.options = config.override, config.recorded
    trainer.option_changes = tuple(run_dir.changes)
    return trainer


def _rotations(config: TrainConfig, model: Any, blocks: MaskedBlocks) -> Rotations | None:
    """Prepare the bases of the rotary position embeddings; None if all phases have the model's.

    Raises:
        InputError: the base of the model cannot be changed.
    """
    if not isinstance(blocks, PhasedBlocks):
        return None
    bases = [phase.rope_theta for phase in blocks.phases.phases]
    if all(base is None for base in bases):
        return None
    return Rotations(model, bases, trust_remote_code=config.options.trust_remote_code)
