"""What the processes of test_processes.py, test_run_mlm_stopped.py and others do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import transformers

from quiet_arguments import quiet_arguments
from toy import SCRATCH, TINY

STILL = TINY | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
MEASURED = 27
WITHOUT_DROPOUT = SCRATCH | {"config_overrides": STILL}


class Signals(transformers.TrainerCallback):
    """Sends its process a signal once steps are done; SIGKILL as when memory is short."""

    def __init__(self, step: int, rank: int = 0, number: int = signal.SIGKILL):
        self.step, self.rank, self.number = step, rank, number

    def on_step_end(self, args, state, _control, **_kwargs):
        if state.global_step == self.step and args.process_index == self.rank:
            os.kill(os.getpid(), self.number)


def train_on(blocks, output, options):
    from mlmfast.training.train import train

    losses = []

    class Listens(transformers.TrainerCallback):
        def on_log(self, _args, _state, _control, logs=None, **_kwargs):
            if "loss" in logs:
                losses.append(logs["loss"])

    found = train(blocks, output=output, callbacks=[Listens()], **options)
    return found.train_loss, losses, found.before.to_dict(), found.after.to_dict()


def parts_of(blocks, output, options):
    """Train with a teacher; return loss and parts of each step."""
    from mlmfast.training.train import train

    found = []

    class Listens(transformers.TrainerCallback):
        def on_log(self, _args, _state, _control, logs=None, **_kwargs):
            if "loss" in logs:
                names = ("loss", "distillation_loss", "mlm_loss", "hidden_loss")
                found.append([logs[name] for name in names])

    train(blocks, output=output, callbacks=[Listens()], **options)
    return found


def train_on_own_copy(blocks, folder, options):
    """Train on a store of one's own: all splits here, and the measured ones for both there."""
    own = blocks if os.environ["RANK"] == "0" else blocks / "test"
    return train_on(own, folder / "out", options | {"eval_data": blocks / "test"})


def train_and_die(blocks, output, options, step, rank=0, number=signal.SIGKILL):
    from mlmfast.training.train import train

    train(blocks, output=output, callbacks=[Signals(step, rank, number)], **options)


class Poisons(transformers.TrainerCallback):
    """Makes a weight infinite or NaN once steps are done."""

    def __init__(self, step: int, value: float = float("nan")):
        self.step, self.value = step, value

    def on_step_end(self, _args, state, _control, model=None, **_kwargs):
        if state.global_step == self.step:
            model.get_parameter("lm_head.bias").data[7] = self.value


def train_poisoned(blocks, output, options, step):
    from mlmfast.training.train import train

    train(blocks, output=output, callbacks=[Poisons(step)], **options)


def die_while_writing(blocks, output, options, checkpoint):
    """Be killed in the middle of the optimizer's file of a checkpoint."""
    import torch

    from mlmfast.training.train import train

    whole = torch.save

    def half(what, path, *args, **kwargs):
        whole(what, path, *args, **kwargs)
        if str(path).endswith("optimizer.pt") and f"checkpoint-{checkpoint}" in str(path):
            os.truncate(path, Path(path).stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half
    train(blocks, output=output, **options)


def die_while_answering(blocks, output, options, count):
    """Be killed in the middle of a file of the teacher's answers, after so many files."""
    from mlmfast.training.teacher_answers import form, part
    from mlmfast.training.train import train

    form._PART_BYTES = 1000
    whole, written = part.save_file, []

    def half(tensors, path, **kwargs):
        whole(tensors, path, **kwargs)
        written.append(path)
        if len(written) == count:
            os.truncate(path, Path(path).stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    part.save_file = half
    train(blocks, output=output, **(options | {"overwrite": True}))


def fail_in_process(blocks, output, options, rank):
    """One process alone finds something wrong before the training."""
    from mlmfast.errors import InputError
    from mlmfast.training.setup import model as module
    from mlmfast.training.train import train

    choose = module.choose_model

    def fails(*args):
        if os.environ["RANK"] == str(rank):
            raise InputError("this process has another model")
        return choose(*args)

    module.choose_model = fails
    train(blocks, output=output, **options)


def own_script(blocks, folder, given):
    """MLMTrainer without train(), as in a user's script, in fp32."""
    from mlmfast.data.store.store import open_splits
    from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
    from mlmfast.training.model.from_scratch import new_model
    from mlmfast.training.trainer.mlm_trainer import MLMTrainer

    splits = open_splits(blocks)
    transformers.set_seed(0)
    model = new_model(splits["train"], model_type="roberta", config_overrides=STILL)
    arguments = quiet_arguments(folder, logging_steps=1, **given)
    trainer = MLMTrainer(
        model,
        arguments,
        train_dataset=MaskedBlocks(splits["train"]),
        eval_dataset=EvaluationBlocks(splits["test"], limit=MEASURED),
    )
    trainer.train()
    measured = trainer.evaluate()
    if trainer.args.process_index == 0:
        trainer.save_model(str(folder))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    figures = {name: measured[name] for name in ("eval_loss", "eval_top1", "eval_masked_tokens")}
    return losses, figures


def without_masks(blocks, output, options):
    """Train where no token is masked; tell the mean loss and whether all weights are finite."""
    import torch
    from safetensors.torch import load_file

    from mlmfast.training.train import train

    found = train(blocks, output=output, mlm_probability=0.0, **options)
    weights = load_file(output / "model.safetensors")
    return found.train_loss, all(bool(torch.isfinite(each).all()) for each in weights.values())


def count_a_step(blocks, folder, kind, own_loss=False, bf16=False):
    """Count a step's operations as MFU does, and as they are made; tell what the log said too."""
    import logging

    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import cross_entropy
    from torch.utils.flop_counter import FlopCounterMode

    from mlmfast.data.store.store import open_splits
    from mlmfast.training.datasets import MaskedBlocks
    from mlmfast.training.model.from_scratch import new_model
    from mlmfast.training.trainer.mlm_trainer import MLMTrainer

    made, said = [], []

    class Counts(MLMTrainer):
        def training_step(self, model, inputs, *args, **kwargs):
            with FlopCounterMode(display=False) as counter:
                loss = super().training_step(model, inputs, *args, **kwargs)
            labels = inputs["labels"]
            made.append((counter.get_total_flops(), len(labels), int((labels != -100).sum())))
            return loss

    def loss_of(outputs, labels, num_items_in_batch=None):
        found = cross_entropy(outputs.logits.flatten(0, 1), labels.flatten(), reduction="sum")
        return found / num_items_in_batch

    class Hears(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())

    log = logging.getLogger("mlmfast.training.model.masked_head")
    log.setLevel(logging.INFO)
    ear = Hears()
    log.addHandler(ear)
    store = open_splits(blocks)["train"]
    transformers.set_seed(0)
    model = new_model(store, model_type=kind, config_overrides=TINY)
    arguments = quiet_arguments(folder, max_steps=2, bf16=bf16)
    trainer = Counts(
        model,
        arguments,
        train_dataset=MaskedBlocks(store),
        compute_loss_func=loss_of if own_loss else None,
    )
    try:
        # Flash attention's backward pass computes products of the forward pass again.
        with sdpa_kernel(SDPBackend.MATH):
            trainer.train()
    finally:
        log.removeHandler(ear)
    operations, rows, masked = made[1]  # before the first step the rows are tried out
    work = trainer.throughput.block_flops
    return rows * work.of_block(masked / rows), operations, said


def train_and_leave(blocks, output, options):
    """Train and part; tell the names of the process's threads before and after."""
    from mlmfast.training.process.distributed import destroy_process_group
    from mlmfast.training.train import train

    def threads():
        return {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}

    train(blocks, output=output, **options)
    before = threads()
    destroy_process_group()
    return before, threads()


def on_a_stream(blocks, folder, base, batch, **given):
    """Train by a Trainer class on an IterableDataset of masked rows; tell the losses."""
    import torch

    from mlmfast.data.store.store import open_splits
    from mlmfast.training.datasets import MaskedBlocks
    from mlmfast.training.model.from_scratch import new_model
    from mlmfast.training.trainer.mlm_trainer import MLMTrainer

    store = open_splits(blocks)["train"]
    masked = MaskedBlocks(store)

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return (masked[number] for number in range(len(masked)))

    losses = []

    class Notes({"ours": MLMTrainer, "theirs": transformers.Trainer}[base]):
        def training_step(self, *args, **kwargs):
            losses.append(super().training_step(*args, **kwargs).item())
            return torch.tensor(losses[-1])

    transformers.set_seed(0)
    model = new_model(store, model_type="roberta", config_overrides=STILL)
    arguments = quiet_arguments(
        folder,
        bf16=False,
        max_steps=3,
        learning_rate=1e-3,
        optim="sgd",
        per_device_train_batch_size=batch,
        **given,
    )
    trainer = Notes(
        model, arguments, transformers.default_data_collator, Stream(), eval_dataset=Stream()
    )
    trainer.train()
    measured = trainer.evaluate()["eval_loss"]
    if trainer.args.process_index == 0:
        trainer.save_model(str(folder))
    return losses, measured


def run_mlm_with(words, step=None, rank=0, number=signal.SIGKILL):
    """Do what `mlmfast run-mlm` does with these words; with `step`, send a signal after it."""
    from mlmfast.training.run_mlm.arguments import parse_run_mlm
    from mlmfast.training.run_mlm.command import run_mlm

    if step is not None:
        transformers.trainer.DEFAULT_CALLBACKS.append(Signals(step, rank, number))
    return run_mlm(*parse_run_mlm(words))
