"""Training from a block store to a finished checkpoint folder."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.fs.atomic import atomic_output_dir
from mlmfast.training.fit import run
from mlmfast.training.output import LAST_WEIGHTS, write_output
from mlmfast.training.phased_blocks import PhasedBlocks
from mlmfast.training.process.distributed import Processes
from mlmfast.training.process.state import isolated_state
from mlmfast.training.report import hub
from mlmfast.training.report.documents import is_trained_model
from mlmfast.training.setup.config import TrainConfig
from mlmfast.training.setup.distillation import check_one_student
from mlmfast.training.setup.recipe import apply_recipe
from mlmfast.training.setup.run_dir import devices_of, open_run_dir
from mlmfast.training.setup.speed import measure_phases
from mlmfast.training.setup.stores import build_datasets
from mlmfast.training.setup.trainer import build_trainer
from mlmfast.training.trainer.interrupt import StopAtStep, TrainingInterrupted
from mlmfast.training.trainer.saving.resume_changes import read_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    import peft
    import transformers

    from mlmfast.training.fit import TrainResult
    from mlmfast.training.recipes.recipe import Recipe
    from mlmfast.training.trainer.saving.run_dir import RunDir

logger = logging.getLogger(__name__)

_RATE = "learning_rate"


def train(
    data: Any = None,
    *,
    output: str | Path | None = None,
    model: str | Path | None = None,
    from_scratch: bool = False,
    model_type: str | None = None,
    config_overrides: str | dict[str, Any] | None = None,
    eval_data: Any = None,
    mlm_probability: float | str | None = None,
    mask_replace_prob: float = 0.8,
    random_replace_prob: float = 0.1,
    mask_mode: str = "token",
    whole_word: bool = False,
    word_boundaries: str = "marker",
    mask_rate_schedule: str | None = None,
    documents: str | None = None,
    add_tokens: str | Path | Sequence[str] | None = None,
    pack_documents: bool = False,
    tokens_per_batch: int | None = None,
    max_position_embeddings: int | None = None,
    rope_theta: float | None = None,
    rope_scaling: str | dict[str, Any] | None = None,
    teacher: str | Path | None = None,
    student_layers: str | Sequence[int] | None = None,
    student: str | Path | None = None,
    distillation_temperature: float = 2.0,
    distillation_weight: float = 5.0,
    mlm_weight: float = 2.0,
    hidden_weight: float = 1.0,
    teacher_answers: str | Path | None = None,
    teacher_top_k: int = 64,
    lora: bool | str | dict[str, Any] | peft.LoraConfig | None = None,
    keep_adapter: bool = False,
    average_checkpoints: str | None = None,
    recipe: str | Path | Mapping[str, Any] | Recipe | None = None,
    hours: float | None = None,
    tokens_per_second: float | None = None,
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

    Text is prepared first, as in run_mlm.py (`max_seq_length`, `line_by_line` ...), into the cache
    folder; the next training on the same text reuses it.

    Every epoch has new masks, which depend on (seed, epoch, block) only; the evaluation always has
    the same masks, at 15 %. The output folder appears when it is complete: until then, checkpoints
    are in `OUTPUT.partial`. Ctrl-C, SIGTERM, SIGUSR1 and `max_time` end the training after the
    current step, with a checkpoint.

    Under `torchrun` or `accelerate launch`, the processes train one model: a step has
    `per_device_train_batch_size` x `gradient_accumulation_steps` blocks per process, and the same
    blocks, masks and loss as a step of one process with as many blocks. Rank 0 writes the output.

    Args:
        data: a block store, or its folder; with splits, training on `train`, evaluation on `test`.
            A `mlmfast.Mixture` of stores, which is measured on the `test` splits of all of them,
            together and one by one. Or text: a file, a pattern, a folder of files or of the
            `datasets` library, a list of files, an Arrow table, a `datasets.Dataset`. None with
            `train_file` or `dataset_name`.
        output: the folder to write: weights (safetensors), configuration, tokenizer, model card.
        model: the checkpoint to start from, a folder or a Hub name.
        from_scratch: start from random weights, with the architecture of `model` or `model_type`.
        model_type: a model type of transformers, such as `roberta` or `modernbert`.
        config_overrides: changes to the configuration of a new model, a dict or `"name=value,..."`.
        eval_data: what to evaluate on in place of the `test` split: a block store, or raw text as
            `mlmfast.prepare` takes it; or a dict of several by name, which are measured together
            and one by one. Text becomes the blocks that `mlmfast.evaluate` makes of it for the
            finished model, in the cache folder; `text_column`, `format` ... say how it is read.
        mlm_probability: share of the ordinary tokens that are chosen in training; None for 0.15,
            or 0.3 with random weights; `"uniform:0.05,0.5"` or `"beta:3,9"` draws a share for each
            block in each epoch.
        mask_replace_prob: share of the chosen tokens that become the mask token.
        random_replace_prob: share of the chosen tokens that become a random one; the rest stay.
        mask_mode: unit of selection: `token`, `whole_word`, or `span` (SpanBERT), as in
            `mlmfast.mask_tokens`. The evaluation masks tokens.
        whole_word: the same as `mask_mode="whole_word"`.
        word_boundaries: how whole words are found: `marker`, by the vocabulary's marker alone; or
            `characters`, which also divides text without blanks (Japanese, Chinese, Thai).
        mask_rate_schedule: in place of `mlm_probability`, `"0.3:0.15"` changes the share of chosen
            tokens linearly over the steps, `"0.3:0.15:cosine"` as half a cosine wave.
        documents: `separate` keeps attention inside each document of a block, and numbers positions
            from its start; `joined` lets attention cross documents, as run_mlm.py does. None (the
            default) keeps documents apart if the blocks say where they begin and the first batch
            proves that the model gives the logits of each document alone; the log says which.
        add_tokens: words to add to the tokenizer as tokens, a list or a file with one per line. The
            embedding of each starts as the mean of the embeddings of its old pieces. Blocks must
            have been prepared with the same words.
        pack_documents: train on rows that are full of documents, without padding: for blocks of one
            document each (`packing="none"`, `line_by_line`). Attention stays inside the documents,
            and a batch counts rows of a block's length; each epoch packs other documents together.
        tokens_per_batch: in place of `per_device_train_batch_size`: as many blocks (or rows of
            packed documents) as have so many positions.
        max_position_embeddings: extend the model to this many positions, as its configuration
            counts them: rotary position embeddings are computed, a table of learned ones repeats
            its rows. The tokenizer's `model_max_length` follows.
        rope_theta: another base of the rotary position embeddings.
        rope_scaling: their scaling, as transformers names it: `"yarn"` (its factor follows from
            `max_position_embeddings`), `"rope_type=yarn,factor=4"`, JSON or a dict.
        teacher: a masked language model to distill, a folder or a Hub name: the model also learns
            from its answers at the masked tokens. Its tokenizer must be that of the blocks. The
            student is made by `student_layers` or `student`, or is `model`, or starts at random.
        student_layers: layers of the teacher that the student starts from, with the teacher's
            embeddings and head, counted from 0: `[0, 2, 4]` or `"0,2,4"`.
        student: the shape of the student, a configuration or checkpoint; it starts from those
            weights of the teacher that have the same name and shape. `config_overrides` apply.
        distillation_temperature: divides the logits of both models before they are compared.
        distillation_weight: weight of the divergence from the teacher's answers; 0 for none. This
            and the next two have the defaults of DistilBERT.
        mlm_weight: weight of the cross-entropy with the labels, beside a teacher.
        hidden_weight: weight of 1 - cosine between the last hidden states of both models; without
            effect if these have other widths.
        teacher_answers: folder with the teacher's answers to the masked tokens. Those to the epochs
            of the training that are missing are computed first; then the teacher is not needed
            any more. Trainings with the same teacher, blocks, masks and seed share a folder.
        teacher_top_k: how many of the largest logits of a token `teacher_answers` holds. All other
            tokens count as one; see docs/distillation.md.
        lora: train low-rank adapters (LoRA, DoRA) in place of all weights: True, `"rank=16"`,
            `"rank=8,alpha=16,dropout=0.1,targets=query+value,dora=true"`, a dict with such names,
            or a `peft.LoraConfig`. See docs/adapters.md. The learning rate is then 2e-4 by default.
        keep_adapter: write the adapter alone, as PEFT does; otherwise it is merged into the model.
        average_checkpoints: make an average of the weights the result: `"last:5"`, their mean at
            the last five checkpoints; `"ema:0.999"`, their exponential moving average over the
            steps. Evaluations measure it beside the present weights; the weights of the last step
            are in the folder `last` of the output.
        recipe: a training in phases, each with its data, batch size, masks and learning rate: a
            file, the name of one that is part of mlmfast (`mlmfast recipe list`), or its content.
            Its options hold where the call has the default. See docs/recipes.md.
        hours: multiply all lengths of the recipe so that its steps take so long. The factor follows
            from the speed at the start; a resume takes the same steps. Evaluations and checkpoints
            are not counted.
        tokens_per_second: the speed for `hours`, of all processes together; None to measure a few
            steps of each phase, in one process.
        seed: seed of the masks, the order of the blocks, the dropout and the new weights.
        precision: `auto` (bf16 autocast if the hardware computes in it), `fp32` or `bf16`.
        overwrite: replace a model that an earlier training wrote to `output`.
        resume_from_checkpoint: True to resume from the latest checkpoint of an interrupted
            training, "auto" to do so only if there is one, or the folder of a checkpoint.
        override: resume with a learning rate, weight decay, optimizer, schedule, masks ... that
            differ from those of the checkpoint, which otherwise is an error.
        max_time: time limit of this call, after which the training ends early, with an evaluation
            and a checkpoint: `"2h"`, `"90m"`, `"1h30m"`, a number of seconds, or a `timedelta`.
        keep_checkpoints: move the checkpoints into the output; otherwise they are removed.
        push_to_hub: upload the finished folder; `hub_model_id`, `hub_private_repo`, `hub_token`.
        report: also write `report.html` and `training.png`, the curves of the training.
        verify_store: first compare every byte of the blocks with its checksums.
        quiet: show no progress.
        callbacks: additional callbacks of the Trainer.
        further: any field of `transformers.TrainingArguments`; the defaults are the guide's
            (learning rate 2e-5, weight decay 0.01, 3 epochs, batches of 8) or, from random
            weights, those of `mlmfast.training.options.from_scratch`; with
            `eval_strategy="no"` there are no evaluations; `torch_compile` depends on the length of
            the training if it is not set. Any flag of run_mlm.py, see
            `mlmfast.training.options.run_mlm`: `train_file`, `dataset_name`,
            `tokenizer_name`, `validation_split_percentage`, `max_train_samples` ...;
            `model_name_or_path`, `output_dir` and `overwrite_output_dir` are aliases of `model`,
            `output` and `overwrite`.

    Raises:
        InputError: an option is invalid, or the model does not fit the blocks.
        NotFoundError: the store, the model or the checkpoint does not exist.
        StoreError: the blocks are damaged, or not the same in all processes.
        OutputExistsError: the output, or an interrupted training, exists already.
        TrainingInterrupted: Ctrl-C, SIGTERM, SIGUSR1 or `max_time`; a KeyboardInterrupt.
        NonFiniteLossError: the loss is NaN or Inf; the error names its step and blocks.
        DeviceMemoryError: a batch does not fit on the device; the error names a size that does.
        MissingDependencyError: `lora` without PEFT.
        OtherProcessError: another process failed; the error has its message.
    """
    given = locals()  # the parameters: nothing else is in scope yet
    options = apply_recipe(train, given)
    config = TrainConfig.resolve(**options)
    check_one_student(config)
    processes = Processes.join(
        use_cpu=config.device == "cpu",
        backend=config.training_arguments.get("ddp_backend"),
        seconds=config.training_arguments.get("ddp_timeout"),
    )
    stop = StopAtStep(processes, config.max_seconds)
    with stop, processes.collective_errors(), ExitStack() as stack:
        stack.enter_context(isolated_state())
        staging = processes.run_on_rank0(
            lambda: stack.enter_context(
                atomic_output_dir(
                    config.output, overwrite=config.overwrite, is_ours=is_trained_model
                )
            )
        )
        measure = partial(measure_phases, train, options=options | options["further"])
        config, train_blocks, eval_blocks = build_datasets(config, processes, measure)
        config = config.with_block_size(train_blocks.store.block_size)
        if isinstance(train_blocks, PhasedBlocks):
            devices = devices_of(config.training_arguments, processes.count)
            config = config.with_phases(train_blocks.phases, devices)
        run_dir = open_run_dir(config, train_blocks, processes.count)
        stack.enter_context(_annotated_errors(run_dir, processes))
        checkpoint = processes.run_on_rank0(
            lambda: run_dir.begin(
                config.resume_from_checkpoint,
                overwrite=config.overwrite,
                override=config.override,
            )
        )
        if checkpoint is not None and isinstance(train_blocks, PhasedBlocks):
            peak = processes.run_on_rank0(lambda: read_arguments(checkpoint)[0].get(_RATE))
            config = config.with_peak(peak)
        trainer = build_trainer(
            config,
            train_blocks,
            eval_blocks,
            run_dir=run_dir,
            checkpoint=checkpoint,
            processes=processes,
        )
        hide_progress = config.hides_progress or not processes.is_main_process
        with processes.local_errors():
            result = run(trainer, config.output, checkpoint, stop=stop, quiet=hide_progress)
            trainer.args.push_to_hub = False  # the finished folder is uploaded in one commit
            if config.lora is not None and not config.keep_adapter:
                trainer.merge_adapters()
            with trainer.averaged_weights() as average:
                trainer.save_model(str(staging))
            if average is not None:
                trainer.save_model(str(staging / LAST_WEIGHTS))
        if processes.is_main_process:
            write_output(staging, config, trainer, result, run_dir)
    if processes.is_main_process:
        run_dir.remove()
        if config.push_to_hub:
            logger.info("uploaded: %s", hub.upload(config.output, trainer.args))
    return result


@contextmanager
def _annotated_errors(run_dir: RunDir, processes: Processes) -> Iterator[None]:
    """Add to interrupts and errors which checkpoint is left, and how to resume from it."""
    try:
        yield
    except KeyboardInterrupt as error:
        cause = error if isinstance(error, TrainingInterrupted) else TrainingInterrupted()
        message = run_dir.interrupt_message(cause.reason) if processes.is_main_process else ""
        if cause.evaluation is not None and processes.is_main_process:
            message = f"{message}\n{cause.evaluation}"
        raise TrainingInterrupted(message, cause.cause, cause.evaluation) from None
    except BaseException as error:
        annotated = run_dir.annotate_error(error) if processes.is_main_process else error
        if annotated is error:
            raise
        raise annotated from error
