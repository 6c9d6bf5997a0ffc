"""`mlmfast run-mlm`: what run_mlm.py does, with the trainer and the blocks of mlmfast."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import transformers

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError, NotFoundError, OutputExistsError
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.fit import train_steps
from mlmfast.training.model.embeddings import add_missing_rows
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.model.load import check_fits, load_config, load_model
from mlmfast.training.process.distributed import Processes
from mlmfast.training.run_mlm.text import run_mlm_blocks
from mlmfast.training.text_data import load_own_tokenizer
from mlmfast.training.trainer.interrupt import StopAtStep, TrainingInterrupted
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from mlmfast.training.trainer.saving.checkpoints import complete_checkpoints, step_of, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.run_mlm.arguments import RunMlmArguments

logger = logging.getLogger(__name__)


def run_mlm(
    arguments: RunMlmArguments, training: transformers.TrainingArguments
) -> dict[str, float]:
    """Do what run_mlm.py does with these arguments: train, evaluate, or both.

    The output folder gets the files of run_mlm.py: the model and its tokenizer, checkpoints,
    `train_results.json`, `eval_results.json`, `all_results.json`, `trainer_state.json` and a model
    card. `docs/run_mlm.md` lists the differences.

    Args:
        arguments: text, tokenizer and model.
        training: the training arguments, with `do_train` and `do_eval`.

    Returns:
        The content of `all_results.json`.

    Under `torchrun` or `accelerate launch`, the processes train one model, as in `train`.

    Raises:
        InputError: an option or the text cannot be used.
        NotFoundError: a file, a data set or a model does not exist.
        OutputExistsError: the output folder is not empty, and holds no checkpoint to resume from.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGUSR1; after the first step, with a checkpoint.
        OtherProcessError: another process failed, and says why.
    """
    output = Path(training.output_dir)
    processes = Processes.join(
        use_cpu=training.device.type == "cpu",
        backend=training.ddp_backend,
        seconds=training.ddp_timeout,
    )
    stop = StopAtStep(processes)
    with stop, processes.collective_errors():
        checkpoint = processes.run_on_rank0(lambda: _checkpoint(output, training))
        transformers.set_seed(training.seed)
        tokenizer = load_own_tokenizer(arguments, arguments.model_name_or_path)
        splits = ["train"] * training.do_train + ["validation"] * training.do_eval
        prepare = partial(
            run_mlm_blocks,
            arguments,
            load_tokenizer(tokenizer),
            splits,
            quiet=training.disable_tqdm,
        )
        stores = processes.run_on_rank0(prepare)
        network = _model(arguments, stores, len(tokenizer))
        trainer = _trainer(network, training, arguments, stores, tokenizer)
        results: dict[str, float] = {}
        with _explained_interrupts(trainer, processes), processes.local_errors():
            if training.do_train:
                results |= _train(trainer, checkpoint, stop)
            if training.do_eval:
                results |= _evaluate(trainer)
            _write_card(trainer, arguments)
    return results


def _checkpoint(output: Path, training: transformers.TrainingArguments) -> str | None:
    """Return the checkpoint to resume from: the given one, or the last one in the output."""
    given = training.resume_from_checkpoint
    if training.do_train and given is not None and not Path(given).is_dir():
        raise NotFoundError(
            f"There is no checkpoint {given}. Without --resume_from_checkpoint, the training "
            "resumes from the last one in the output folder."
        )
    if not training.do_train or not output.is_dir() or _overwrites(training):
        return given
    sweep(output)
    checkpoints = complete_checkpoints(output)
    if not checkpoints and given is None and any(output.iterdir()):
        raise OutputExistsError(
            f"The output folder {output} exists, is not empty and holds no checkpoint to resume "
            "from: give another --output_dir, or --overwrite_output_dir."
        )
    if given is None and checkpoints:
        logger.info(
            "resuming from %s; --overwrite_output_dir or another --output_dir starts over",
            checkpoints[-1],
        )
        return str(checkpoints[-1])
    return given


def _model(
    arguments: RunMlmArguments, stores: dict[str, BlockStore], tokens: int
) -> transformers.PreTrainedModel:
    """Load the checkpoint, with embeddings for all tokens, or create a randomly initialized one."""
    name, shape = arguments.model_name_or_path, arguments.config_name
    store = next(iter(stores.values()), None)
    if name is None:
        if store is None:
            raise InputError("A model of random weights needs --do_train or --do_eval.")
        return new_model(
            store,
            model=shape,
            model_type=None if shape else arguments.model_type,
            config_overrides=arguments.config_overrides,
            **arguments.hub,
        )
    config = None if shape is None else load_config(shape, **arguments.hub)
    network = load_model(name, dtype=arguments.dtype or "float32", config=config, **arguments.hub)
    add_missing_rows(network, tokens, name)
    for each in stores.values():
        check_fits(network, each)
    return network


def _trainer(
    network: transformers.PreTrainedModel,
    training: transformers.TrainingArguments,
    arguments: RunMlmArguments,
    stores: dict[str, BlockStore],
    tokenizer: Any,
) -> MLMTrainer:
    options: dict[str, Any] = {
        "mlm_probability": arguments.mlm_probability,
        "pad_to_max_length": arguments.pad_to_max_length,
    }
    train = eval_ = None
    if "train" in stores:
        train = MaskedBlocks(
            stores["train"], seed=training.seed, limit=arguments.max_train_samples, **options
        )
    if "validation" in stores:
        eval_ = EvaluationBlocks(stores["validation"], limit=arguments.max_eval_samples, **options)
    return MLMTrainer(
        network, training, train_dataset=train, eval_dataset=eval_, processing_class=tokenizer
    )


@contextmanager
def _explained_interrupts(trainer: MLMTrainer, processes: Processes) -> Iterator[None]:
    """Add to interrupts which checkpoint is left, and how to resume from it."""
    try:
        yield
    except KeyboardInterrupt as error:
        cause = error if isinstance(error, TrainingInterrupted) else TrainingInterrupted()
        message = _interrupt_message(trainer, cause.reason) if processes.is_main_process else ""
        raise TrainingInterrupted(message, cause.cause) from None


def _interrupt_message(trainer: MLMTrainer, reason: str) -> str:
    output, overwrites = Path(trainer.args.output_dir), _overwrites(trainer.args)
    checkpoints = complete_checkpoints(output)
    if overwrites:  # checkpoints of an earlier training may still be in the folder
        checkpoints = [path for path in checkpoints if step_of(path) <= trainer.state.global_step]
    if not checkpoints:
        return f"{reason}: {output} holds no checkpoint to resume from."
    how = f" with --resume_from_checkpoint {checkpoints[-1]}" if overwrites else ""
    return (
        f"{reason}: the checkpoint of step {step_of(checkpoints[-1])} is in {output}, and the same "
        f"command{how} resumes from it."
    )


def _overwrites(training: transformers.TrainingArguments) -> bool:
    # transformers 5 has removed the field; the command line sets the attribute.
    return bool(getattr(training, "overwrite_output_dir", False))


def _train(trainer: MLMTrainer, checkpoint: str | None, stop: StopAtStep) -> dict[str, float]:
    metrics = train_steps(trainer, checkpoint, stop).metrics
    trainer.save_model()
    metrics["train_samples"] = len(trainer.train_dataset)
    trainer.log_metrics("train", metrics)
    trainer.save_metrics("train", metrics)
    trainer.save_state()
    return metrics


def _evaluate(trainer: MLMTrainer) -> dict[str, float]:
    metrics = trainer.evaluate()
    metrics["eval_samples"] = len(trainer.eval_dataset)
    try:
        metrics["perplexity"] = math.exp(metrics["eval_loss"])
    except OverflowError:
        metrics["perplexity"] = math.inf
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)
    return metrics


def _write_card(trainer: MLMTrainer, arguments: RunMlmArguments) -> None:
    """Write the model card of the Trainer, whose front matter has the metrics as `model-index`."""
    name = arguments.model_name_or_path
    about: dict[str, Any] = {"tasks": "fill-mask"}
    # The Hub cannot link to a local folder.
    if name is not None and not Path(name).is_dir():
        about["finetuned_from"] = name
    if (data := arguments.dataset_name) is not None:
        config = arguments.dataset_config_name
        about |= {"dataset_tags": data, "dataset": data if config is None else f"{data} {config}"}
        if config is not None:
            about["dataset_args"] = config
    if trainer.args.push_to_hub:
        trainer.push_to_hub(**about)
    else:
        trainer.create_model_card(**about)
