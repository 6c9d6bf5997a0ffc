"""The stored answers of a teacher: found, or computed before the training that reads them."""

from __future__ import annotations

import json
import logging
import math
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from mlmfast.errors import InputError, OutputExistsError
from mlmfast.fs.lock import FileLock
from mlmfast.fs.paths import as_path
from mlmfast.training.model.checkpoint_identity import checkpoint_identity
from mlmfast.training.model.distillation.loss import comparable
from mlmfast.training.model.distillation.teacher import (
    Teacher,
    check_same_vocabulary,
    count_tokens,
    half_of,
    hidden_size,
)
from mlmfast.training.model.documents.document_attention import DocumentAttention
from mlmfast.training.options.arguments import DEFAULTS
from mlmfast.training.setup.distillation import hub_of_teacher
from mlmfast.training.setup.run_dir import devices_of
from mlmfast.training.teacher_answers.compute import compute_parts
from mlmfast.training.teacher_answers.folder import AnswerFolder
from mlmfast.training.teacher_answers.form import AnswerForm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel, TrainingArguments

    from mlmfast.training.datasets import MaskedBlocks
    from mlmfast.training.process.distributed import Processes
    from mlmfast.training.setup.config import TrainConfig

logger = logging.getLogger(__name__)

_LOCK = ".lock"


class TrainingAnswers:
    """The folder with the answers that a training reads, and what has to be computed for it.

    Args:
        config: the options of the training, with a folder for the answers.
        blocks: what it trains on.
        processes: the processes that train together.

    Attributes:
        complete: whether the answers to all epochs of the training are there.

    Raises:
        InputError: the folder has answers of another teacher, or to other blocks or masks; or the
            masks of the training depend on more than the epoch.
        NotFoundError: there is no such teacher.
        StoreError: the folder is damaged.
        OutputExistsError: it holds something else.
    """

    def __init__(self, config: TrainConfig, blocks: MaskedBlocks, processes: Processes) -> None:
        _check_keyed(config)
        options = config.distillation
        assert options.teacher is not None  # noqa: S101 - the options have been checked
        assert options.teacher_answers is not None  # noqa: S101
        self._config, self._blocks, self._processes = config, blocks, processes
        self._path = as_path(options.teacher_answers)
        identity = partial(checkpoint_identity, options.teacher, **hub_of_teacher(config))
        made_of = {"teacher": processes.run_on_rank0(identity), **_described(blocks)}
        self._made_of = json.loads(json.dumps(made_of))  # as the manifest has it
        self._epochs = _epochs_read(config, blocks, processes.count)
        self._folder = AnswerFolder.open(self._path, self._made_of, options.teacher_top_k)
        self.complete: bool = processes.run_on_rank0(
            lambda: self._folder is not None and not self._folder.missing(self._epochs)
        )

    def completed(
        self,
        teacher: PreTrainedModel | None,
        student: PreTrainedModel,
        arguments: TrainingArguments,
    ) -> AnswerFolder:
        """Compute the answers that are missing, check all files, and return the folder.

        The processes divide the files among them. A file is whole when it is there: a later
        training goes on where one was ended.

        Args:
            teacher: the teacher; None if the answers are complete. Afterwards it is on the CPU.
            student: the student that will learn from them.
            arguments: the device, the precision and the size of a batch.

        Raises:
            InputError: the student cannot learn from these answers, those there are of another
                precision, or the disk is full.
            OutputExistsError: another training is writing to the folder.
            StoreError: a file is damaged, or the processes do not see the same folder.
        """
        weights = self._config.distillation.weights
        precision = "bf16" if arguments.bf16 else "fp16" if arguments.fp16 else "fp32"
        folder = self._folder
        if folder is None:
            assert teacher is not None  # noqa: S101 - nothing is complete
            folder = self._new_folder(teacher, student, precision)
        form = folder.form
        check_same_vocabulary(student, form.vocabulary)
        form.check(comparable(weights, hidden_size(student), form.hidden_size), where=self._path)
        if not self.complete and form.precision != precision:
            raise InputError(
                f"The teacher's answers in {self._path} were computed in {form.precision}, and "
                f"this training would add others in {precision}: give the same precision "
                "(--precision), or another folder (--teacher-answers)."
            )
        if not self.complete and teacher is not None:
            with self._locked():
                self._compute(folder, teacher, arguments)
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:
            folder.verify(self._epochs)
        self._processes.run_on_rank0(lambda: None)  # all wait, or fail together
        logger.info(
            "the teacher's answers come from %s, %s bytes a masked token",
            self._path,
            f"{form.bytes_per_token:,}",
        )
        return folder

    def _new_folder(
        self, teacher: PreTrainedModel, student: PreTrainedModel, precision: str
    ) -> AnswerFolder:
        options, width = self._config.distillation, hidden_size(teacher)
        weights = comparable(options.weights, hidden_size(student), width)
        form = AnswerForm.choose(
            top_k=options.teacher_top_k,
            vocabulary=count_tokens(teacher),
            temperature=weights.temperature,
            hidden_size=width,
            hidden=bool(weights.hidden) and width is not None,
            precision=precision,
            masked_per_item=self._blocks.mean_mask_rate * self._blocks.store.block_size,
        )
        return AnswerFolder(self._path, self._made_of, form)

    def _compute(
        self, folder: AnswerFolder, teacher: PreTrainedModel, arguments: TrainingArguments
    ) -> None:
        processes, mode = self._processes, self._config.document_mode
        missing = processes.run_on_rank0(partial(folder.begin, self._epochs))
        mine = missing[processes.rank :: processes.count]
        logger.info("computing the teacher's answers: %d files in %s", len(missing), self._path)
        documents = None
        if mode != "joined":
            documents = DocumentAttention(teacher, required=mode == "separate")
        runs = Teacher(
            teacher,
            arguments.device,
            hidden=folder.form.hidden,
            half=half_of(arguments),
            documents=documents,
        )
        hidden = self._config.hides_progress or not processes.is_main_process
        total = sum(len(folder.items_of(number)) for _, number in mine)
        with tqdm(total=total, unit="block", desc="teacher", disable=hidden or None) as bar:
            compute_parts(
                folder,
                mine,
                runs,
                self._blocks,
                batch_size=arguments.per_device_train_batch_size,
                advance=bar.update,
            )
        processes.run_on_rank0(lambda: None)  # the files of all processes are there
        teacher.to("cpu")  # the memory of the device is the student's

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one training at a time write to the folder."""
        lock = FileLock(self._path / _LOCK)

        def acquire() -> None:
            self._path.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except BlockingIOError as error:
                raise OutputExistsError(
                    f"Another training is writing the teacher's answers to {self._path}: wait "
                    "until it has finished, or give another folder (--teacher-answers)."
                ) from error

        self._processes.run_on_rank0(acquire)
        try:
            yield
        finally:
            lock.release()


def _check_keyed(config: TrainConfig) -> None:
    """Raise InputError if the masks of a training depend on more than seed and epoch."""
    if config.recipe is None and not config.masks.get("mask_rate_schedule"):
        return
    name = "mask_rate_schedule" if config.recipe is None else "a recipe"
    raise InputError(
        "teacher_answers stores whole epochs, whose masks depend on seed and epoch alone; with "
        f"{name} they depend on the step: leave out --teacher-answers."
    )


def _described(blocks: MaskedBlocks) -> dict[str, Any]:
    """Return what the answers depend on, beside the teacher; mask options are named one by one."""
    fingerprint = blocks.fingerprint()
    masks = fingerprint.pop("masks")
    return {"tokenizer": blocks.store.tokenizer.sha256, **fingerprint, **masks}


def _epochs_read(config: TrainConfig, blocks: MaskedBlocks, processes: int) -> int:
    """Count the epochs of which a training reads a part."""
    given = config.training_arguments
    steps = given.get("max_steps") or -1
    if steps <= 0:
        return math.ceil(given.get("num_train_epochs") or DEFAULTS["num_train_epochs"])
    batch = given.get("per_device_train_batch_size") or DEFAULTS["per_device_train_batch_size"]
    batch *= devices_of(given, processes)
    batches = len(blocks) // batch if given.get("dataloader_drop_last") else 0
    batches = batches or math.ceil(len(blocks) / batch)
    per_epoch = math.ceil(batches / (given.get("gradient_accumulation_steps") or 1))
    return math.ceil(steps / per_epoch)
