"""`train` with a teacher: from blocks to a student's folder."""

from __future__ import annotations

import json
import logging
import shutil

import pytest
import torch
import transformers
from click.testing import CliRunner

from mlmfast.cli.train import command
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from mlmfast.vocabulary.replace import replace_vocabulary
from stopped_trainings import At, press_ctrl_c, same_weights, weights
from tolerances import KERNELS
from toy import SCRATCH, TINY, make_blocks, sentences

QUIET = {"precision": "fp32", "use_cpu": True, "report": False, "quiet": True}


@pytest.fixture(scope="module")
def teacher(toy_blocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "teacher"
    options = SCRATCH | {"config_overrides": TINY | {"num_hidden_layers": 3}}
    return train(toy_blocks, output=folder, **options, num_train_epochs=8).output


@pytest.fixture
def options(teacher):
    return QUIET | {"teacher": teacher, "student_layers": "0,2", "learning_rate": 1e-3}


def test_the_student_starts_from_the_layers(teacher, toy_blocks, options, tmp_path):
    still = options | {"learning_rate": 0.0, "max_steps": 1, "eval_strategy": "no"}
    train(toy_blocks, output=tmp_path / "out", **still)
    found, source = weights(tmp_path / "out"), weights(teacher)
    moved = {
        name: name.replace("encoder.layer.1.", "encoder.layer.2.")
        for name in found
        if "embeddings" in name or "layer.1" in name or "lm_head" in name
    }
    assert len(moved) > 20
    assert all(torch.equal(found[name], source[old]) for name, old in moved.items())
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    assert model.config.num_hidden_layers == 2


def test_what_is_written_tells_the_teacher(teacher, toy_blocks, options, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="mlmfast"):
        found = train(
            toy_blocks,
            output=tmp_path / "out",
            num_train_epochs=2,
            keep_checkpoints=True,
            **(options | {"report": True}),
        )
    assert "the student starts from layers 0,2 of the teacher" in caplog.text
    assert "the teacher's head runs on masked rows, last layer too" in caplog.text
    assert "5 x KL from the teacher at temperature 2" in caplog.text
    assert found.after.perplexity < found.before.perplexity
    measured = evaluate(found.output, toy_blocks, device="cpu")
    assert measured.loss == pytest.approx(found.after.loss, rel=KERNELS)
    card = (found.output / "README.md").read_text()
    assert f"distilled from the teacher `{teacher}`; it began as the teacher's layers 0, 2" in card
    assert f"trained from `{teacher}`" in card
    report = (found.output / "report.html").read_text()
    assert "Difference from the teacher" in report
    assert "distillation_weight" in report
    summary = json.loads((found.output / "mlmfast_training.json").read_text())
    assert summary["distillation"]["teacher"] == str(teacher)
    assert summary["distillation"]["student_layers"] == [0, 2]
    saved = next(found.output.glob("checkpoint-*"))
    assert weights(saved).keys() == weights(found.output).keys()
    assert not any("encoder.layer.2." in name for name in weights(saved))
    state = torch.load(saved / "optimizer.pt", weights_only=True)
    count = sum(len(group["params"]) for group in state["param_groups"])
    model = transformers.AutoModelForMaskedLM.from_pretrained(found.output)
    assert count == len(list(model.parameters()))


def test_a_resume_ends_as_if_nothing_had_been(toy_blocks, options, tmp_path):
    """With the student's dropout, bit for bit; another teacher or other weights are noticed."""
    options |= {"num_train_epochs": 2, "per_device_train_batch_size": 12}
    whole = train(toy_blocks, output=tmp_path / "whole", **options)
    stop = At(whole.steps // 2 + 1, press_ctrl_c)
    with pytest.raises(TrainingInterrupted):
        train(toy_blocks, output=tmp_path / "cut", callbacks=[stop], **options)
    again = {"output": tmp_path / "cut", "resume_from_checkpoint": True}
    with pytest.raises(InputError, match=r"hidden_weight \(1.0, now 0.5\)"):
        train(toy_blocks, **again, **(options | {"hidden_weight": 0.5}))
    with pytest.raises(InputError, match="another student_layers"):
        train(toy_blocks, **again, **(options | {"student_layers": "0,1"}))
    plain = options | {"model": options["teacher"], "teacher": None, "student_layers": None}
    with pytest.raises(InputError, match="another teacher"):
        train(toy_blocks, **again, **plain)
    train(toy_blocks, **again, **options)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")


def test_a_student_may_have_another_shape_or_be_a_checkpoint(
    teacher, toy_blocks, options, tmp_path, caplog
):
    short = options | {"max_steps": 2, "eval_strategy": "no"}
    shaped = short | {"student_layers": None, "student": teacher}
    shaped |= {"config_overrides": "num_hidden_layers=1"}
    with caplog.at_level(logging.INFO, logger="mlmfast"):
        first = train(toy_blocks, output=tmp_path / "one", **shaped)
    assert "its layers from layers 0" in caplog.text
    assert "it has the shape of" in (tmp_path / "one" / "README.md").read_text()
    on = short | {"student_layers": None, "model": first.output}
    second = train(toy_blocks, output=tmp_path / "two", **on)
    assert second.parameters == first.parameters
    assert f"trained from `{first.output}`" in (tmp_path / "two" / "README.md").read_text()
    random = short | SCRATCH | {"student_layers": None}
    train(toy_blocks, output=tmp_path / "three", **random)


def test_text_is_prepared_with_the_tokenizer_of_the_teacher(options, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(sentences(40)) + "\n")
    given = {"max_steps": 1, "max_seq_length": 16, "cache_dir": str(tmp_path / "cache")}
    train(str(text), output=tmp_path / "out", **options, **given)
    own = (options["teacher"] / "tokenizer.json").read_bytes()
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == own


def test_on_the_command_line(teacher, toy_blocks, tmp_path):
    words = [str(toy_blocks), "--teacher", str(teacher), "--student_layers", "0,2"]
    words += ["--output", str(tmp_path / "out"), "--distillation-weight=1", "--mlm_weight", "1"]
    words += ["--use-cpu", "--precision", "fp32", "--max-steps", "1", "--json", "--no-report"]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "out" / "mlmfast_training.json").read_text())
    assert summary["distillation"]["distillation_weight"] == 1.0
    assert summary["distillation"]["mlm_weight"] == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"student_layers": "0,3"}, "layer 3, but the teacher has 3 layers: 0 to 2"),
        ({"student_layers": "2,0"}, "ascending order"),
        ({"student_layers": "0,0"}, "ascending order"),
        ({"student_layers": ""}, "ascending order"),
        ({"student_layers": "-1,1"}, "ascending order"),
        ({"student_layers": "first"}, "ascending order"),
        ({"student_layers": []}, "ascending order"),
        ({"student": "roberta-base"}, "both say what the student is"),
        ({"student_layers": None}, "What is the student"),
        ({"model": "roberta-base"}, "student_layers and model do not go together"),
        ({"config_overrides": "num_hidden_layers=1"}, "student_layers and config_overrides"),
        ({"teacher": None}, "goes with a teacher"),
        ({"teacher": None, "student_layers": None, "hidden_weight": 0.5}, "goes with a teacher"),
        ({"distillation_temperature": 0.0}, "distillation_temperature is 0"),
        ({"mlm_weight": -1.0}, "expected numbers from 0"),
        ({"distillation_weight": 0, "mlm_weight": 0, "hidden_weight": 0}, "of which one is above"),
        ({"student_layers": None, "model": "roberta-base", "lora": True}, "lora trains adapters"),
        ({"add_tokens": ["sphinx"]}, "add_tokens changes the student alone"),
        ({"max_position_embeddings": 600}, "max_position_embeddings changes the student alone"),
    ],
)
def test_options_that_cannot_be_are_refused(toy_blocks, options, changes, words, tmp_path):
    with pytest.raises(InputError, match=words):
        train(toy_blocks, output=tmp_path / "out", **(options | changes))
    assert not list(tmp_path.iterdir())


def test_a_teacher_with_another_tokenizer_is_refused(teacher, toy_blocks, tmp_path, options):
    other = tmp_path / "other"
    transformers.AutoModelForMaskedLM.from_pretrained(teacher).save_pretrained(other)
    texts = [*sentences(40, seed=9), *["zebra quagga"] * 9]
    train_tokenizer(texts, tmp_path / "tokenizer", vocab_size=300)
    for file in (tmp_path / "tokenizer").iterdir():
        shutil.copy(file, other)
    with pytest.raises(InputError, match=r"other tokens than the teacher .*teacher's own tokenize"):
        train(toy_blocks, output=tmp_path / "out", **(options | {"teacher": other}))
    # The way out that the message names.
    replace_vocabulary(other, toy_blocks / "train", tmp_path / "replaced")
    replaced = options | {"teacher": tmp_path / "replaced", "max_steps": 1}
    assert train(toy_blocks, output=tmp_path / "student", **replaced).steps == 1
    small = tmp_path / "small"
    config = transformers.AutoConfig.from_pretrained(teacher, vocab_size=40)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(small)
    with pytest.raises(InputError, match="The teacher knows 40 tokens"):
        train(toy_blocks, output=tmp_path / "out", **(options | {"teacher": small}))


def test_a_teacher_that_fills_no_masks_is_refused(teacher, toy_blocks, tmp_path, options):
    model = transformers.AutoModelForMaskedLM.from_pretrained(teacher)
    model.base_model.save_pretrained(tmp_path / "encoder")
    with pytest.raises(InputError, match=r"lacks the head for masked tokens.*cannot fill masks"):
        train(toy_blocks, output=tmp_path / "out", **(options | {"teacher": tmp_path / "encoder"}))
    with pytest.raises(NotFoundError, match="There is no model no/teacher"):
        train(toy_blocks, output=tmp_path / "out", **(options | {"teacher": "no/teacher"}))


def test_a_student_with_other_tokens_is_refused(teacher, toy_blocks, tmp_path, options):
    shape = {"student_layers": None, "student": teacher, "config_overrides": "vocab_size=500"}
    with pytest.raises(InputError, match="The student has 500 tokens and its teacher"):
        train(toy_blocks, output=tmp_path / "out", **(options | shape))


def test_blocks_longer_than_the_teacher_are_refused(tmp_path, teacher, options):
    blocks = make_blocks(tmp_path, count=60, block_size=64)
    config = transformers.AutoConfig.from_pretrained(teacher, max_position_embeddings=34)
    short = tmp_path / "short"
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(short)
    options |= {"teacher": short, "documents": "joined"}  # no document alone is as long
    with pytest.raises(InputError, match="64 tokens, but the teacher takes 32"):
        train(blocks, output=tmp_path / "out", **options)
