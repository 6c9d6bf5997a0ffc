"""A distillation from stored answers: with all logits that from the teacher itself."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from dense_distillation import gradients
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.options.distillation import DistillationWeights
from mlmfast.training.trainer.distillation_trainer import DistillationTrainer
from quiet_arguments import quiet_arguments
from stored_answers import answered, form_of
from tiny_networks import WITHOUT_DROPOUT, batch, make_network
from tolerances import KERNELS, LAYERS, SUMS
from toy import TINY

# Hidden states in fp16: 2**-11 of a unit vector, of which the cosine feels the direction.
HALVES = 2**-11


@pytest.fixture(scope="module")
def networks(toy_blocks):
    """A student and a teacher for the toy language, without dropout."""
    store = open_splits(toy_blocks)["train"]
    transformers.set_seed(0)
    return [
        new_model(store, model_type="roberta", config_overrides=TINY | WITHOUT_DROPOUT)
        for _ in range(2)
    ]


def loss_of(trainer, items):
    """Return the loss of a batch of the trainer's blocks, and its gradients."""
    student, rows = trainer.model.train(), trainer.train_dataset.__getitems__(items)
    loss = trainer.compute_loss(student, rows)
    return loss.item(), gradients(student, loss), rows


@pytest.mark.parametrize(
    ("weights", "of_loss", "of_gradients"),
    [
        (DistillationWeights(3.0, hidden=0.0), SUMS, KERNELS),
        (DistillationWeights(), HALVES, HALVES),
    ],
    ids=["logits", "hidden states"],
)
def test_all_logits_teach_what_the_teacher_does(
    networks, toy_blocks, tmp_path, weights, of_loss, of_gradients
):
    student, teacher = map(copy.deepcopy, networks)
    blocks = MaskedBlocks(open_splits(toy_blocks)["train"])
    vocabulary = teacher.config.vocab_size
    answers = answered(
        copy.deepcopy(teacher), blocks, tmp_path / "answers", form_of(vocabulary, vocabulary, 7)
    )
    arguments = quiet_arguments(tmp_path)
    items = [3, 60, 0, 14]
    taught = DistillationTrainer(
        copy.deepcopy(student), arguments, train_dataset=blocks, teacher=teacher, weights=weights
    )
    expected, of_teacher, rows = loss_of(taught, items)
    assert "teacher_ids" not in rows
    stored = DistillationTrainer(
        student, arguments, train_dataset=blocks, answers=answers, weights=weights
    )
    found, own, rows = loss_of(stored, items)
    assert rows["teacher_ids"].shape[2] == vocabulary
    assert found == pytest.approx(expected, rel=of_loss)
    assert own.keys() == of_teacher.keys()
    for name, gradient in of_teacher.items():
        assert torch.allclose(own[name], gradient, rtol=of_gradients, atol=of_gradients), name


def test_in_bf16_the_logits_are_the_teachers_own(networks, toy_blocks, tmp_path):
    """Stored as the head computes them, so that nothing is rounded."""
    student, teacher = map(copy.deepcopy, networks)
    blocks = MaskedBlocks(open_splits(toy_blocks)["train"], limit=8)
    vocabulary = teacher.config.vocab_size
    form = form_of(vocabulary, vocabulary, precision="bf16")
    answers = answered(copy.deepcopy(teacher), blocks, tmp_path / "answers", form)
    assert answers.read(0, 0)["logits"].dtype == torch.bfloat16
    weights = DistillationWeights(hidden=0.0)
    losses = []
    for given in ({"teacher": teacher}, {"answers": answers}):
        trainer = DistillationTrainer(
            copy.deepcopy(student),
            quiet_arguments(tmp_path, bf16=True),
            train_dataset=blocks,
            weights=weights,
            **given,
        )
        with trainer.compute_loss_context_manager():
            losses.append(loss_of(trainer, [0, 1, 2, 3])[0])
    assert losses[0] == pytest.approx(losses[1], rel=LAYERS)


def test_a_part_of_a_batch_keeps_its_answers(networks, toy_blocks, tmp_path):
    """As after an out-of-memory error, where fewer rows of a batch are tried."""
    student, teacher = map(copy.deepcopy, networks)
    blocks = MaskedBlocks(open_splits(toy_blocks)["train"])
    form = form_of(teacher.config.vocab_size, 5)
    answers = answered(teacher, blocks, tmp_path / "answers", form)
    trainer = DistillationTrainer(
        student, quiet_arguments(tmp_path), train_dataset=blocks, answers=answers
    )
    rows = blocks.__getitems__([5, 6, 7])
    part = {name: each[:2] for name, each in rows.items()}
    alone = blocks.__getitems__([5, 6])
    found, expected = (trainer.compute_loss(student, each).item() for each in (part, alone))
    assert found == pytest.approx(expected, rel=SUMS)


def test_blocks_without_labels_have_no_loss(networks, toy_blocks, tmp_path):
    """A process that has no block of a batch still runs the model."""
    student, teacher = map(copy.deepcopy, networks)
    blocks = MaskedBlocks(open_splits(toy_blocks)["train"], limit=4)
    answers = answered(teacher, blocks, tmp_path / "answers", form_of(teacher.config.vocab_size))
    trainer = DistillationTrainer(
        student, quiet_arguments(tmp_path), train_dataset=blocks, answers=answers
    )
    assert trainer.compute_loss(student, blocks.__getitems__([])).item() == 0


def test_what_cannot_be_is_refused(toy_blocks, networks, tmp_path):
    student, teacher = map(copy.deepcopy, networks)
    blocks = MaskedBlocks(open_splits(toy_blocks)["train"], limit=4)
    answers = answered(teacher, blocks, tmp_path / "answers", form_of(teacher.config.vocab_size))
    arguments = quiet_arguments(tmp_path)
    with pytest.raises(InputError, match="needs a teacher, or its stored answers"):
        DistillationTrainer(student, arguments, train_dataset=blocks)
    inputs, labels = batch()
    rows = [{"input_ids": inputs["input_ids"][0], "labels": labels[0]}]
    with pytest.raises(InputError, match="train on MaskedBlocks"):
        DistillationTrainer(student, arguments, train_dataset=rows, answers=answers)
    with pytest.raises(InputError, match="The student has 60 tokens and its teacher"):
        DistillationTrainer(
            make_network("roberta"), arguments, train_dataset=blocks, answers=answers
        )
