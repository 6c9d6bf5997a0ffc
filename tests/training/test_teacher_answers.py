"""`train` with a folder for the teacher's answers: written once, read by several trainings."""

from __future__ import annotations

import json
import logging
import shutil
import signal

import pytest
import torch
from click.testing import CliRunner

import processes_at_work as work
from launching import launch
from mlmfast.cli.train import command
from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.errors import InputError, OutputExistsError, StoreError
from mlmfast.fs.lock import FileLock
from mlmfast.training.teacher_answers import form as form_module
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from stopped_trainings import At, furthest, press_ctrl_c, same_weights, weights
from tolerances import LAYERS
from toy import SCRATCH, TINY, make_blocks

# Without the hidden states, which are stored in fp16, the teacher and all its logits are equal.
LOGITS = {"precision": "fp32", "use_cpu": True, "report": False, "quiet": True}
LOGITS |= {"learning_rate": 1e-3, "hidden_weight": 0.0, "eval_strategy": "no"}


@pytest.fixture(scope="module")
def teacher(toy_blocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "teacher"
    options = SCRATCH | {"config_overrides": TINY | {"num_hidden_layers": 3}}
    return train(toy_blocks, output=folder, **options, num_train_epochs=3).output


@pytest.fixture
def options(teacher):
    return LOGITS | {"teacher": teacher, "student_layers": "0,2", "num_train_epochs": 2}


def all_tokens(teacher):
    return json.loads((teacher / "config.json").read_text())["vocab_size"]


def files_of(folder):
    return {each.name: each.read_bytes() for each in folder.glob("*.safetensors")}


def test_all_logits_train_the_student_of_the_teacher(teacher, toy_blocks, options, tmp_path):
    """Over several epochs and accumulated batches; a second training reads the same bytes."""
    options |= {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3}
    train(toy_blocks, output=tmp_path / "taught", **options)
    options |= {"teacher_answers": tmp_path / "answers", "teacher_top_k": all_tokens(teacher)}
    train(toy_blocks, output=tmp_path / "wrote", **options)
    written = files_of(tmp_path / "answers")
    assert len(written) == 2
    assert furthest(tmp_path / "taught", tmp_path / "wrote") < LAYERS
    train(toy_blocks, output=tmp_path / "read", **options)
    assert same_weights(tmp_path / "wrote", tmp_path / "read")
    assert files_of(tmp_path / "answers") == written


def test_few_logits_train_another_student(toy_blocks, options, tmp_path, caplog):
    """The teacher is not loaded where its answers are there, and further epochs are added."""
    options |= {"teacher_answers": tmp_path / "answers", "teacher_top_k": 4, "hidden_weight": 1.0}
    with caplog.at_level(logging.INFO, logger="mlmfast"):
        first = train(toy_blocks, output=tmp_path / "one", **options, keep_checkpoints=True)
    assert "computing the teacher's answers: 2 files" in caplog.text
    assert "the teacher's head runs on masked rows, last layer too" in caplog.text
    written = files_of(tmp_path / "answers")
    summary = json.loads((first.output / "mlmfast_training.json").read_text())
    assert summary["distillation"]["teacher_top_k"] == 4
    caplog.clear()
    # Weights that would fail to load are those of the teacher still: the folder is not read.
    on = options | {"model": first.output, "student_layers": None, "learning_rate": 5e-4}
    on |= {"per_device_train_batch_size": 16, "mlm_weight": 0.5, "data_seed": 5}
    with caplog.at_level(logging.INFO, logger="mlmfast"):
        second = train(toy_blocks, output=tmp_path / "two", **on)
    assert "teacher's head" not in caplog.text
    assert "computing the teacher's answers" not in caplog.text
    assert second.parameters == first.parameters
    train(toy_blocks, output=tmp_path / "three", **(on | {"num_train_epochs": 3}))
    extended = files_of(tmp_path / "answers")
    assert len(extended) == 3
    assert written.items() <= extended.items()


def test_a_resume_ends_as_if_nothing_had_been(toy_blocks, options, tmp_path):
    """With the student's dropout, bit for bit; without the answers, it is another training."""
    options |= {"per_device_train_batch_size": 12, "teacher_answers": tmp_path / "answers"}
    options |= {"teacher_top_k": 4, "hidden_weight": 1.0}
    whole = train(toy_blocks, output=tmp_path / "whole", **options)
    stop = At(whole.steps // 2 + 1, press_ctrl_c)
    with pytest.raises(TrainingInterrupted):
        train(toy_blocks, output=tmp_path / "cut", callbacks=[stop], **options)
    again = {"output": tmp_path / "cut", "resume_from_checkpoint": True}
    taught = options | {"teacher_answers": None, "teacher_top_k": 64}
    with pytest.raises(InputError, match=r"teacher_top_k \(4, now None\)"):
        train(toy_blocks, **again, **taught)
    shutil.move(tmp_path / "answers", tmp_path / "moved")
    options |= {"teacher_answers": tmp_path / "moved"}
    train(toy_blocks, **again, **options)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")


def test_steps_decide_how_many_epochs_are_stored(toy_blocks, options, tmp_path):
    options |= {"teacher_answers": tmp_path / "answers", "max_steps": 11}
    found = train(toy_blocks, output=tmp_path / "out", **options)
    assert found.blocks == 71  # 9 steps of 8 in an epoch
    assert len(files_of(tmp_path / "answers")) == 2


@pytest.mark.usefixtures("one_thread")
def test_packed_documents_and_mixtures_have_answers_of_their_own(teacher, options, tmp_path):
    store = make_blocks(tmp_path, block_size=32, packing="none")
    options |= {"teacher_top_k": all_tokens(teacher), "learning_rate": 1e-3, "seed": 3}
    packed = options | {"pack_documents": True}
    mixture = options | {"num_train_epochs": 1}
    for name, data, given in (
        ("packed", store, packed),
        ("padded", store, options),
        ("mixed", Mixture({"one": store / "train", "two": store / "test"}, [2, 1]), mixture),
    ):
        taught = {**given, "teacher_top_k": 64}
        train(data, output=tmp_path / f"{name}-taught", **taught)
        train(data, output=tmp_path / name, teacher_answers=tmp_path / f"{name}-answers", **given)
        assert furthest(tmp_path / f"{name}-taught", tmp_path / name) < LAYERS, name
    with pytest.raises(InputError, match=r"pack_documents \(True, now None\)"):
        train(store, output=tmp_path / "x", teacher_answers=tmp_path / "packed-answers", **options)
    other = packed | {"data_seed": 9, "teacher_answers": tmp_path / "packed-answers"}
    with pytest.raises(InputError, match=r"another data_seed \(3, now 9\)"):
        train(store, output=tmp_path / "x", **other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, r"another seed \(0, now 1\)"),
        ({"mlm_probability": 0.3}, r"another mlm_probability \(0.15, now 0.3\)"),
        ({"whole_word": True}, r"another mode \(token, now whole_word\) and word_starts"),
        ({"documents": "joined"}, r"another documents \(separate, now joined\)"),
        ({"max_train_samples": 50}, r"another items \(71, now 50\)"),
        ({"teacher_top_k": 5}, r"another teacher_top_k \(4, now 5\)"),
        ({"hidden_weight": 1.0}, "no hidden states"),
        ({"distillation_temperature": 3.0}, "temperature 3: give one of 1, 2, 4, 8"),
        ({"precision": "bf16", "num_train_epochs": 3}, "computed in fp32.* others in bf16"),
        ({"mask_rate_schedule": "0.3:0.15"}, "with mask_rate_schedule they depend on the step"),
        ({"teacher_top_k": 0}, "teacher_top_k must be a whole number from 1 up"),
        ({"teacher_answers": "new", "teacher_top_k": 10**6}, "1,000,000, but the teacher has"),
        ({"teacher_answers": None}, r"teacher_top_k \(4\) says what is stored"),
        ({"distillation_weight": 0.0}, "does not use: leave out --teacher-answers"),
        ({"teacher": None, "student_layers": None}, "goes with a teacher"),
    ],
)
def test_answers_to_something_else_are_refused(stored, changes, words, toy_blocks, tmp_path):
    before = files_of(stored["teacher_answers"])
    if changes.get("teacher_answers") == "new":
        changes = changes | {"teacher_answers": tmp_path / "new"}
    with pytest.raises(InputError, match=words):
        train(toy_blocks, output=tmp_path / "out", **(stored | changes))
    assert not list(tmp_path.iterdir())
    assert files_of(stored["teacher_answers"]) == before


@pytest.fixture(scope="module")
def stored(teacher, toy_blocks, tmp_path_factory):
    """The options of a training whose answers are there."""
    folder = tmp_path_factory.mktemp("stored")
    options = LOGITS | {"teacher": teacher, "student_layers": "0,2", "num_train_epochs": 2}
    options |= {"teacher_answers": folder / "answers", "teacher_top_k": 4}
    train(toy_blocks, output=folder / "out", **options)
    return options


def test_another_teacher_and_other_blocks_are_refused(stored, toy_blocks, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(stored["teacher"], other)
    changed = {name: each.clone() for name, each in weights(other).items()}
    changed["lm_head.bias"][3] += 0.5
    from safetensors.torch import save_file

    save_file(changed, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="another teacher"):
        train(toy_blocks, output=tmp_path / "out", **(stored | {"teacher": other}))
    blocks = make_blocks(tmp_path, count=60)
    with pytest.raises(InputError, match=r"another blocks .* and data .* and items .*tokenizer"):
        train(blocks, output=tmp_path / "out", **stored)


def test_damage_is_found_before_the_first_step(stored, toy_blocks, tmp_path):
    copied = tmp_path / "answers"
    shutil.copytree(stored["teacher_answers"], copied)
    file = copied / "epoch-00001-part-00000.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    options = stored | {"teacher_answers": copied}
    with pytest.raises(StoreError, match=r"another checksum.*delete this file"):
        train(toy_blocks, output=tmp_path / "out", **options)
    file.unlink()  # as the message says
    train(toy_blocks, output=tmp_path / "out", **options)
    assert files_of(copied) == files_of(stored["teacher_answers"])


def test_two_trainings_do_not_write_at_once(stored, toy_blocks, tmp_path):
    options = stored | {"teacher_answers": tmp_path / "answers"}
    (tmp_path / "answers").mkdir()
    lock = FileLock(tmp_path / "answers" / ".lock")
    lock.acquire()
    try:
        with pytest.raises(OutputExistsError, match="Another training is writing"):
            train(toy_blocks, output=tmp_path / "out", **options)
    finally:
        lock.release()
    train(toy_blocks, output=tmp_path / "out", **options)


def test_killed_while_writing_the_rest_is_computed_later(stored, toy_blocks, tmp_path, monkeypatch):
    """What is there is whole; the bytes in the end are those of a run that nothing ended."""
    monkeypatch.setattr(form_module, "_PART_BYTES", 1000)
    options = stored | {"teacher_answers": tmp_path / "whole"}
    train(toy_blocks, output=tmp_path / "out", **options)
    expected = files_of(tmp_path / "whole")
    assert len(expected) > 10
    options |= {"teacher_answers": tmp_path / "cut"}
    for count in (4, 3):
        (ended,) = launch(
            1, work.die_while_answering, toy_blocks, tmp_path / "dies", options, count
        )
        assert ended.status == -signal.SIGKILL
    found = files_of(tmp_path / "cut")
    assert len(found) == 3 + 2
    assert found.items() <= expected.items()
    assert len(list((tmp_path / "cut").glob(".*.partial-*"))) == 1
    train(toy_blocks, output=tmp_path / "again", **options)
    assert files_of(tmp_path / "cut") == expected
    assert not list((tmp_path / "cut").glob(".*.partial-*"))
    assert same_weights(tmp_path / "out", tmp_path / "again")


def test_on_the_command_line(stored, toy_blocks, tmp_path):
    words = [str(toy_blocks), "--teacher", str(stored["teacher"]), "--student_layers", "0,2"]
    words += ["--output", str(tmp_path / "out"), "--hidden-weight", "0", "--json", "--no-report"]
    words += ["--use-cpu", "--precision", "fp32", "--max-steps", "1", "--teacher-top-k=4"]
    words += ["--teacher_answers", str(stored["teacher_answers"])]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert torch.load(tmp_path / "out" / "training_args.bin", weights_only=False).max_steps == 1
