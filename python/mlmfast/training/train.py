"""Training from a block store to a finished checkpoint folder."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from mlmfast.data.tokenization.added_tokens import read_tokens
from mlmfast.errors import InputError
from mlmfast.fs.atomic import atomic_output_dir
from mlmfast.fs.paths import as_path
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.fit import run
from mlmfast.training.model.compile import choose_compiling, tokens_of
from mlmfast.training.model.embeddings import add_missing_rows, check_added, resize_embeddings
from mlmfast.training.model.load import check_fits
from mlmfast.training.model.precision import default_device
from mlmfast.training.options.arguments import check_names
from mlmfast.training.options.durations import seconds_of
from mlmfast.training.options.from_scratch import with_defaults
from mlmfast.training.options.run_mlm import check_doing, of_one_name, split_options
from mlmfast.training.process.distributed import Processes
from mlmfast.training.process.state import kept_apart
from mlmfast.training.report import hub
from mlmfast.training.report.documents import is_trained_model, write_documents
from mlmfast.training.report.model_card import card_arguments
from mlmfast.training.setup import (
    blocks_a_step,
    check_seed,
    check_stores,
    choose_arguments,
    choose_masks,
    choose_model,
    choose_stores,
    is_from_scratch,
    order_of,
)
from mlmfast.training.text_data import check_one_source, is_blocks, prepare_text, tokenizer_of
from mlmfast.training.trainer.best_model import choose_best_metric
from mlmfast.training.trainer.interrupt import StopAtStep, TrainingInterrupted
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from mlmfast.training.trainer.resume_changes import check_resumed
from mlmfast.training.trainer.run_dir import RunDir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.fit import TrainResult

logger = logging.getLogger(__name__)


def train(
    data: Any = None,
    *,
    output: str | Path | None = None,
    model: str | Path | None = None,
    from_scratch: bool = False,
    model_type: str | None = None,
    config_overrides: str | dict[str, Any] | None = None,
    eval_data: str | Path | BlockStore | None = None,
    mlm_probability: float | None = None,
    mask_replace_prob: float = 0.8,
    random_replace_prob: float = 0.1,
    mask_mode: str = "token",
    whole_word: bool = False,
    mask_rate_schedule: str | None = None,
    add_tokens: str | Path | Sequence[str] | None = None,
    seed: int = 0,
    precision: str = "auto",
    overwrite: bool = False,
    resume_from_checkpoint: bool | str | Path | None = None,
    override: bool = False,
    max_time: str | float | timedelta | None = None,
    keep_checkpoints: bool = False,
    push_to_hub: bool = False,
    report: bool = True,
    verify_store: bool = False,
    quiet: bool = False,
    callbacks: Iterable[transformers.TrainerCallback] = (),
    **further: Any,
) -> TrainResult:
    """Train a masked language model on blocks, or on text, and write it as a Hugging Face folder.

    Text is prepared first, as run_mlm.py does it (`max_seq_length`, `line_by_line` ...), into the
    cache folder, where the next training on the same text finds it.

    The masks are new in every epoch and a function of (seed, epoch, block) alone; the evaluation's
    masks are always the same, at 15 %. The output folder appears whole or not at all: until then,
    checkpoints lie in `OUTPUT.partial`. Ctrl-C, SIGTERM, SIGUSR1 and `max_time` end the training
    after its step with a checkpoint.

    Under `torchrun` or `accelerate launch`, the processes train one model: a step has
    `per_device_train_batch_size` x `gradient_accumulation_steps` blocks for each of them, and the
    same blocks, masks and loss as one process has with as many. The first one writes the output.

    Args:
        data: a block store, or its folder; with splits, `train` is trained on and `test` measured.
            Or text: a file, a pattern, a folder of files or of the `datasets` library, a list of
            files, an Arrow table, a `datasets.Dataset`. None with `train_file` or `dataset_name`.
        output: the folder to write: weights (safetensors), configuration, tokenizer, model card.
        model: the checkpoint to start from, a folder or a Hub name.
        from_scratch: start from random weights, in the shape of `model` or of `model_type`.
        model_type: a type of transformers, such as `roberta` or `modernbert`.
        config_overrides: changes of the new model's configuration, a dict or `"name=value,..."`.
        eval_data: blocks to measure on, in place of the `test` split.
        mlm_probability: share of the ordinary tokens that are chosen in training; None for 0.15,
            or 0.3 from random weights.
        mask_replace_prob: share of the chosen tokens that become the mask token.
        random_replace_prob: share of the chosen tokens that become a random one; the rest stay.
        mask_mode: what is chosen as one: `token`, `whole_word`, or `span` (SpanBERT), as
            `mlmfast.mask_tokens` has it. The evaluation masks tokens.
        whole_word: the same as `mask_mode="whole_word"`.
        mask_rate_schedule: `"0.3:0.15"` lets the share of chosen tokens go from the first to the
            second over the training's steps, `"0.3:0.15:cosine"` by half a wave of the cosine; in
            place of `mlm_probability`.
        add_tokens: words that the tokenizer is to keep whole, a file with one a line or a list. The
            checkpoint's rows for them begin as the means of the rows of their old pieces. Blocks
            must have been prepared with the same.
        seed: of the masks, the order of the blocks, the dropout and the new weights.
        precision: `auto` (bf16 autocast where the hardware computes in it), `fp32` or `bf16`.
        overwrite: replace a model that an earlier training wrote to `output`.
        resume_from_checkpoint: True to go on from the latest checkpoint of an interrupted training,
            "auto" to do so where there is one and else to begin, or a checkpoint's folder.
        override: let a resume take another learning rate, weight decay, optimizer, schedule, masks
            and so on than its checkpoint had, from its step on; otherwise that is an error.
        max_time: how long this call may take before the training ends early, with an evaluation and
            a checkpoint: `"2h"`, `"90m"`, `"1h30m"`, a number of seconds, or a `timedelta`.
        keep_checkpoints: move the checkpoints into the output; otherwise they are removed.
        push_to_hub: upload the finished folder; `hub_model_id`, `hub_private_repo`, `hub_token`.
        report: write `report.html` and `training.png`, the curves of the training, too.
        verify_store: read every byte of the blocks before, and compare it with what was written.
        quiet: show no progress.
        callbacks: further callbacks of the Trainer.
        further: any field of `transformers.TrainingArguments`; the defaults are the guide's
            (learning rate 2e-5, weight decay 0.01, 3 epochs, batches of 8) or, from random
            weights, those of `mlmfast.training.options.from_scratch`; with
            `eval_strategy="no"` nothing is measured; `torch_compile` is chosen by the length of
            the training where it is not given. Any flag of run_mlm.py, as
            `mlmfast.training.options.run_mlm` tells them: `train_file`, `dataset_name`,
            `tokenizer_name`, `validation_split_percentage`, `max_train_samples` ...;
            `model_name_or_path`, `output_dir` and `overwrite_output_dir` are other names of
            `model`, `output` and `overwrite`.

    Raises:
        InputError: an option, or a model that does not fit the blocks.
        NotFoundError: no such store, model or checkpoint.
        StoreError: the blocks are damaged, or not the same in all processes.
        OutputExistsError: the output, or an interrupted training, is there already.
        TrainingInterrupted: Ctrl-C, SIGTERM, SIGUSR1 or `max_time`; a KeyboardInterrupt.
        NonFiniteLossError: the loss is no number any more; its step and blocks are named.
        DeviceMemoryError: a batch does not fit on the device; one that does is named.
        OtherProcessError: another process failed, and says why.
    """
    options, aliases, training_arguments = split_options(further)
    model = of_one_name("model", model, aliases)
    output = of_one_name("output", output, aliases)
    overwrite = bool(of_one_name("overwrite", overwrite or None, aliases))
    if output is None:
        raise InputError("Where shall the model be written? Give output.")
    check_names(training_arguments)
    training_arguments = check_doing(training_arguments)
    check_seed(seed)
    check_one_source(data, options)
    scratch = is_from_scratch(model, from_scratch, model_type, options)
    training_arguments = with_defaults(training_arguments, from_scratch=scratch)
    masks = choose_masks(
        mlm_probability=mlm_probability,
        from_scratch=scratch,
        mask_replace_prob=mask_replace_prob,
        random_replace_prob=random_replace_prob,
        mode=mask_mode,
        whole_word=whole_word,
        mask_rate_schedule=mask_rate_schedule,
    )
    training_arguments |= hub.uploading(push_to_hub, training_arguments, output)
    new_tokens = read_tokens(add_tokens) if add_tokens else []
    seconds = seconds_of(max_time)
    output = as_path(output)
    device = "cpu" if training_arguments.get("use_cpu") else default_device()
    processes = Processes.join(
        use_cpu=device == "cpu",
        backend=training_arguments.get("ddp_backend"),
        seconds=training_arguments.get("ddp_timeout"),
    )
    stop = StopAtStep(processes, seconds)
    with stop, processes.together(), ExitStack() as stack:
        stack.enter_context(kept_apart())
        finished = processes.from_first(
            lambda: stack.enter_context(
                atomic_output_dir(output, overwrite=overwrite, is_ours=is_trained_model)
            )
        )
        from_text = data is None or not is_blocks(data)
        if from_text:
            text = partial(
                prepare_text, data, options, model=model, quiet=quiet, add_tokens=new_tokens
            )
            data = processes.from_first(text)
        train_store, eval_store = choose_stores(data, eval_data, training_arguments)
        check_stores(
            (train_store, eval_store),
            processes,
            verify=verify_store,
            progress=processes.is_first and not quiet,
        )
        padded = options.pad_to_max_length
        blocks = MaskedBlocks(
            train_store,
            seed=seed,
            pad_to_max_length=padded,
            limit=options.max_train_samples,
            **masks,
        )
        work = RunDir(
            output,
            {
                "data": [*(shard.sha256 for shard in train_store.manifest.shards), len(blocks)],
                "seed": seed,
                "data_seed": training_arguments.get("data_seed"),
                "blocks_a_step": blocks_a_step(training_arguments, processes.count),
                **order_of(training_arguments),
            },
            masks,
        )
        stack.enter_context(_leaving(work, processes))
        checkpoint = processes.from_first(
            lambda: work.begin(resume_from_checkpoint, overwrite=overwrite, override=override)
        )
        transformers.set_seed(seed)
        network = choose_model(
            train_store, model, from_scratch, model_type, config_overrides, options
        )
        if new_tokens:
            took_over = tokenizer_of(options, model) if model is not None else None
            check_added(train_store, new_tokens)
            if took_over is not None and not from_scratch:
                resize_embeddings(network, took_over, train_store.tokenizer)
        elif from_text and model is not None:
            add_missing_rows(network, train_store.tokenizer.id_bound, model)
        for store in filter(None, (train_store, eval_store)):
            check_fits(network, store)
        arguments = choose_arguments(
            work.path,
            training_arguments | choose_best_metric(training_arguments, eval_store),
            seed=seed,
            # Weights in bf16 cannot be computed with in fp32.
            precision="bf16" if network.dtype == torch.bfloat16 else precision,
            measured=eval_store is not None,
            resumed=checkpoint is not None,
            compiling=lambda device: choose_compiling(
                device,
                network,
                tokens_of(training_arguments, len(blocks), train_store.block_size, processes.count),
                gpus=processes.count,
            ),
        )
        processes.from_first(partial(check_resumed, checkpoint, arguments, override=override))
        repository = processes.from_first(
            lambda: hub.make_repository(output.name, arguments) if push_to_hub else None
        )
        trainer = MLMTrainer(
            network,
            arguments,
            train_dataset=blocks,
            eval_dataset=None
            if eval_store is None
            else EvaluationBlocks(
                eval_store,
                pad_to_max_length=padded,
                limit=options.max_eval_samples,
            ),
            callbacks=list(callbacks),
        )
        trainer.override, trainer.options = override, masks
        trainer.option_changes = tuple(work.changes)
        with processes.in_step():
            result = run(
                trainer,
                output,
                checkpoint,
                stop=stop,
                quiet=quiet
                or not processes.is_first
                or bool(training_arguments.get("disable_tqdm")),
            )
            arguments.push_to_hub = False  # the finished folder goes there whole
            trainer.save_model(str(finished))
        if processes.is_first:
            train_store.tokenizer.save(finished)
            write_documents(
                finished,
                result,
                train_store,
                log=trainer.state.log_history,
                base_model=None if from_scratch or model is None else str(model),
                masks=masks,
                arguments=card_arguments(arguments.to_dict(), training_arguments),
                report=report,
            )
            work.keep_logs(finished)
            if keep_checkpoints:
                work.keep(finished)
    if processes.is_first:
        work.remove()
        if repository is not None:
            logger.info("uploaded: %s", hub.upload(output, repository, arguments))
    return result


@contextmanager
def _leaving(work: RunDir, processes: Processes) -> Iterator[None]:
    """Say what Ctrl-C and errors leave behind; nothing, where there is no checkpoint yet."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        told = stopped if isinstance(stopped, TrainingInterrupted) else TrainingInterrupted()
        message = work.left(told.reason) if processes.is_first else ""
        if told.evaluation is not None and processes.is_first:
            message = f"{message}\n{told.evaluation}"
        raise TrainingInterrupted(message, told.cause, told.evaluation) from None
    except BaseException as error:
        better = work.explain(error) if processes.is_first else error
        if better is error:
            raise
        raise better from error
