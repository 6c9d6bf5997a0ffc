"""The loss of a distillation: that of plain PyTorch on all rows, with its gradients."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from dense_distillation import dense_loss, dense_parts, gradients
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.options.distillation import DistillationWeights
from mlmfast.training.trainer.distillation_trainer import DistillationTrainer
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from quiet_arguments import quiet_arguments
from tiny_networks import WITHOUT_DROPOUT, batch, make_network
from tolerances import KERNELS, LAYERS, LOGGED, SUMS
from toy import TINY, make_blocks

KINDS = ("roberta", "bert", "distilbert", "modernbert")
STILL = WITHOUT_DROPOUT | {"dropout": 0.0, "attention_dropout": 0.0}


def pair(kind, **more):
    """A student and a teacher that differ in all weights; both would drop out."""
    teacher = make_network(kind, **more)
    for each in teacher.parameters():
        each.data += 0.05 * torch.randn_like(each)
    return make_network(kind, **(STILL | more)), teacher


def distilling(student, teacher, folder, **more):
    given = {name: more.pop(name) for name in list(more) if name in ("weights", "documents")}
    data = {name: more.pop(name) for name in list(more) if name.endswith("dataset")}
    arguments = quiet_arguments(folder, remove_unused_columns=False, **more)
    return DistillationTrainer(student, arguments, teacher=teacher, **given, **data)


def assert_same(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=tolerance, atol=tolerance), name


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_the_dense_recipe(kind, checkpointing, tmp_path):
    student, teacher = pair(kind)
    inputs, labels = batch()
    inputs["attention_mask"][1, -6:] = 0
    inputs["input_ids"][1, -6:] = 1
    labels[1, -6:] = -100
    expected = dense_loss(student.train(), teacher.eval(), inputs, labels)
    of_dense = gradients(student, expected)
    teacher.train()  # a training with its dropout would show
    trainer = distilling(student, teacher, tmp_path)
    if checkpointing:
        student.gradient_checkpointing_enable({"use_reentrant": False})
    rows = []
    teacher.get_output_embeddings().register_forward_hook(
        lambda _module, args, _output: rows.append(args[0].shape[:-1].numel())
    )
    student.train()
    trainer.compute_loss(student, inputs | {"labels": labels})  # the first batch compares ways
    loss = trainer.compute_loss(student, inputs | {"labels": labels})
    assert loss.item() == pytest.approx(expected.item(), rel=SUMS)
    assert_same(gradients(student, loss), of_dense, KERNELS)
    assert rows[-1] == (labels != -100).sum()
    assert trainer._teacher.head.scope == "masked rows, last layer too"
    assert all(each.grad is None and not each.requires_grad for each in teacher.parameters())


def test_a_head_that_needs_all_rows_gives_the_same(tmp_path):
    """Neither model then runs on masked rows, and the hidden states are still compared."""

    class Neighbours(torch.nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head = head

        def forward(self, hidden):
            return self.head(hidden + hidden.roll(1, dims=1))

    student, teacher = pair("bert")
    for model in (student, teacher):
        model.cls = Neighbours(model.cls)
        model.get_output_embeddings = lambda: None
    inputs, labels = batch()
    expected = dense_loss(student.train(), teacher.eval(), inputs, labels)
    of_dense = gradients(student, expected)
    loss = distilling(student, teacher, tmp_path).compute_loss(student, inputs | {"labels": labels})
    assert loss.item() == pytest.approx(expected.item(), rel=SUMS)
    assert_same(gradients(student, loss), of_dense, KERNELS)


def test_a_compiled_student_learns_the_same(tmp_path):
    """Its rows are padded to a few shapes; the padding counts in no part."""
    student, teacher = pair("roberta")
    inputs, labels = batch()
    expected = dense_loss(student.train(), teacher.eval(), inputs, labels)
    of_dense = gradients(student, expected)
    trainer = distilling(student, teacher, tmp_path, torch_compile_backend="eager")
    compiled = torch.compile(student, backend="eager")
    for _ in range(2):
        loss = trainer.compute_loss(compiled, inputs | {"labels": labels})
        assert loss.item() == pytest.approx(expected.item(), rel=SUMS)
        assert_same(gradients(student, loss), of_dense, KERNELS)
    trainer.remove_hooks()


@pytest.mark.parametrize(
    ("weights", "part"),
    [
        (DistillationWeights(2.0, 1.0, 0.0, 0.0), 0),
        (DistillationWeights(2.0, 0.0, 1.0, 0.0), 1),
        (DistillationWeights(2.0, 0.0, 0.0, 1.0), 2),
    ],
    ids=["distillation", "mlm", "hidden"],
)
def test_each_part_has_its_weight(weights, part, tmp_path):
    student, teacher = pair("roberta")
    inputs, labels = batch()
    parts = dense_parts(student.train(), teacher.eval(), inputs, labels)
    trainer = distilling(student, teacher, tmp_path, weights=weights)
    loss = trainer.compute_loss(student, inputs | {"labels": labels})
    assert loss.item() == pytest.approx(parts[part].item(), rel=SUMS, abs=SUMS)
    assert (trainer._teacher is None) == (part == 1)


def test_a_batch_without_masks_has_no_loss(tmp_path):
    student, teacher = pair("roberta")
    inputs, labels = batch()
    loss = distilling(student, teacher, tmp_path).compute_loss(
        student.train(), inputs | {"labels": torch.full_like(labels, -100)}
    )
    assert loss.item() == 0
    loss.backward()


def test_other_widths_leave_out_the_hidden_states(tmp_path, caplog):
    student = make_network("roberta", hidden_size=16)
    teacher = make_network("roberta")
    trainer = distilling(student, teacher, tmp_path)
    assert "16 numbers, those of the teacher 32" in caplog.text
    inputs, labels = batch()
    assert trainer.compute_loss(student.train(), inputs | {"labels": labels}).isfinite()
    assert trainer.weights.hidden == 0
    with pytest.raises(InputError, match="of which one is above"):
        distilling(student, teacher, tmp_path, weights=DistillationWeights(2.0, 0.0, 0.0, 1.0))


def test_another_vocabulary_is_refused(tmp_path):
    student, teacher = make_network("roberta"), make_network("roberta", vocab_size=70)
    with pytest.raises(InputError, match=r"60 tokens and its teacher 70.*--student-layers"):
        distilling(student, teacher, tmp_path)


def test_in_bf16_the_teacher_computes_in_bf16(toy_blocks, tmp_path):
    store = open_splits(toy_blocks)["train"]
    student, teacher = (new_model(store, model_type="roberta", config_overrides=TINY) for _ in "st")
    kinds = []
    teacher.lm_head.decoder.register_forward_hook(
        lambda _module, _args, output: kinds.append(output.dtype)
    )
    trainer = distilling(
        student, teacher, tmp_path, train_dataset=MaskedBlocks(store), bf16=True, max_steps=2
    )
    trainer.train()
    assert kinds[-1] == torch.bfloat16
    assert {each.dtype for each in teacher.parameters()} == {torch.float32}


@pytest.fixture(scope="module")
def networks(toy_blocks):
    """A student and a teacher for the toy language, without dropout."""
    store = open_splits(toy_blocks)["train"]
    transformers.set_seed(0)
    return [
        new_model(store, model_type="roberta", config_overrides=TINY | WITHOUT_DROPOUT)
        for _ in range(2)
    ]


def after_a_step(networks, folder, blocks, **more):
    """Train one step of plain SGD; return the trainer, and the gradient as it moved the weights."""
    student, teacher = map(copy.deepcopy, networks)
    before = {name: each.detach().clone() for name, each in student.named_parameters()}
    given = {"optim": "sgd", "learning_rate": 0.5, "lr_scheduler_type": "constant"}
    given |= {"max_grad_norm": 0, "weight_decay": 0.0, "max_steps": 1, "logging_steps": 1}
    trainer = distilling(student, teacher, folder, train_dataset=blocks, **(given | more))
    trainer.train()
    moved = {
        name: (before[name] - each.detach()) / 0.5 for name, each in student.named_parameters()
    }
    return trainer, moved


@pytest.mark.usefixtures("one_thread")
def test_accumulated_batches_are_one(networks, toy_blocks, tmp_path):
    """Whatever their numbers of masked tokens: the mean is over those of the step."""
    blocks = MaskedBlocks(open_splits(toy_blocks)["train"])
    trainer, moved = after_a_step(
        networks, tmp_path, blocks, per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    _, items = trainer._step_batches.items_of(0)
    rows = blocks.__getitems__(items.tolist())
    labels = rows.pop("labels")
    student, teacher = networks
    parts = dense_parts(student.train(), teacher.eval(), rows, labels)
    expected = gradients(student, dense_loss(student, teacher, rows, labels))
    assert_same(moved, expected, KERNELS)
    logged = next(entry for entry in trainer.state.log_history if "loss" in entry)
    names = ("distillation_loss", "mlm_loss", "hidden_loss")
    for name, part in zip(names, parts, strict=True):
        assert logged[name] == pytest.approx(part.item(), abs=LOGGED)
    weighted = 5 * logged[names[0]] + 2 * logged[names[1]] + logged[names[2]]
    assert logged["loss"] == pytest.approx(weighted, abs=8 * LOGGED)


@pytest.mark.usefixtures("one_thread")
def test_packed_documents_are_taught_as_alone(networks, tmp_path):
    """The dense recipe reads them padded, one a row: in neither model does one see another."""
    store = open_splits(make_blocks(tmp_path, count=40, block_size=32, packing="none"))["train"]
    transformers.set_seed(0)
    shape = TINY | WITHOUT_DROPOUT
    networks = [new_model(store, model_type="roberta", config_overrides=shape) for _ in range(2)]
    rows = MaskedBlocks(store).__getitems__(list(range(len(store))))
    labels = rows.pop("labels")
    student, teacher = networks
    expected = gradients(student, dense_loss(student.train(), teacher.eval(), rows, labels))
    blocks = MaskedBlocks(store, pack_documents=True)
    assert len(blocks) < len(store)
    trainer, moved = after_a_step(
        networks,
        tmp_path / "out",
        blocks,
        documents="separate",
        per_device_train_batch_size=len(blocks),
    )
    assert trainer._teacher.head.keeps_documents_apart
    assert_same(moved, expected, LAYERS)


def test_an_evaluation_is_that_of_the_student_alone(networks, toy_blocks, tmp_path):
    splits = open_splits(toy_blocks)
    student, teacher = map(copy.deepcopy, networks)
    blocks = EvaluationBlocks(splits["test"])
    taught = distilling(student, teacher, tmp_path, eval_dataset=blocks).evaluate()
    alone = MLMTrainer(student, quiet_arguments(tmp_path), eval_dataset=blocks).evaluate()
    assert taught["eval_loss"] == alone["eval_loss"]


def test_the_operations_of_the_teacher_count_once(networks, toy_blocks, tmp_path):
    """Forward only: a third of those of a student as large."""
    blocks = MaskedBlocks(open_splits(toy_blocks)["train"])
    both, _ = after_a_step(networks, tmp_path, blocks)
    alone, _ = after_a_step(
        networks, tmp_path, blocks, weights=DistillationWeights(2.0, 0.0, 1.0, 0.0)
    )
    ratio = both.throughput.block_flops.body / alone.throughput.block_flops.body
    assert ratio == pytest.approx(4 / 3)


def test_a_loss_of_ones_own_is_refused(tmp_path):
    student, teacher = pair("roberta")
    with pytest.raises(InputError, match="compute_loss_func"):
        DistillationTrainer(
            student, quiet_arguments(tmp_path), teacher=teacher, compute_loss_func=lambda *_: None
        )
