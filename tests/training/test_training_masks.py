"""How a training masks: whole words, spans, and a rate that changes over the steps."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mlmfast.cli.train import command
from mlmfast.data.masking.schedule import MaskRateSchedule
from mlmfast.data.store.store import open_splits
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.word_boundaries import word_starts
from mlmfast.errors import InputError
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from stopped_trainings import At, press_ctrl_c, same_weights
from tiny_tokenizers import JAPANESE, japanese_tokenizer
from toy import SCRATCH

SCHEDULED = SCRATCH | {"mask_rate_schedule": "0.6:0.1:cosine", "num_train_epochs": 2}

QUICK = {"eval_strategy": "no", "save_strategy": "no"}


@pytest.fixture
def store(toy_blocks):
    return open_splits(toy_blocks)["train"]


@pytest.fixture
def seen(monkeypatch):
    """The batches that a training computes a loss of, as (input_ids, labels)."""
    batches = []
    compute = MLMTrainer.compute_loss

    def record(self, model, inputs, *args, **kwargs):
        if model.training:
            batches.append((inputs["input_ids"].clone(), inputs["labels"].clone()))
        return compute(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(MLMTrainer, "compute_loss", record)
    return batches


def share(store, labels):
    """The share of the ordinary tokens that are masked, in batches put together."""
    masked = sum(int((one != -100).sum()) for one in labels)
    ids = store[:]
    ordinary = (~np.isin(ids, store.manifest.special_ids)).mean()
    return masked / (sum(one.numel() for one in labels) * ordinary)


def test_the_rate_goes_from_its_start_to_its_end(toy_blocks, store, seen, tmp_path):
    options = SCHEDULED | QUICK | {"num_train_epochs": 6, "per_device_train_batch_size": 4}
    result = train(toy_blocks, output=tmp_path / "out", **options)
    labels = [labels for _, labels in seen]
    tenth = len(labels) // 10
    assert len(labels) == result.steps
    # Drawn for 575 tokens in a tenth and 6,097 in all: standard errors of 0.02, 0.013 and
    # 0.006, of which each bound is at least four.
    assert share(store, labels[:tenth]) == pytest.approx(0.6, abs=0.08)
    assert share(store, labels[-tenth:]) == pytest.approx(0.1, abs=0.05)
    assert share(store, labels) == pytest.approx(0.35, abs=0.04)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "60%, changing to 10% as a cosine over the steps" in card


def test_the_rate_is_that_of_the_optimizer_step(toy_blocks, seen, tmp_path):
    """However a step is divided into batches, it has the same blocks under the same masks."""
    options = SCHEDULED | QUICK | {"num_train_epochs": 1}
    train(toy_blocks, output=tmp_path / "a", per_device_train_batch_size=8, **options)
    whole = list(seen)
    seen.clear()
    train(
        toy_blocks,
        output=tmp_path / "b",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
        **options,
    )
    for column in (0, 1):
        one, other = (torch.cat([batch[column] for batch in found]) for found in (whole, seen))
        assert torch.equal(one, other)


def test_a_resumed_training_is_the_same(toy_blocks, tmp_path):
    options = SCHEDULED | {"whole_word": True}
    whole = train(toy_blocks, output=tmp_path / "whole", **options)
    stop = At(whole.steps // 2 + 2, press_ctrl_c)
    with pytest.raises(TrainingInterrupted):
        train(toy_blocks, output=tmp_path / "cut", callbacks=[stop], **options)
    for changed in ({"mask_rate_schedule": "0.6:0.2"}, {"whole_word": False}):
        with pytest.raises(InputError, match=r"another (mode|mask_rate_schedule)"):
            train(
                toy_blocks,
                output=tmp_path / "cut",
                resume_from_checkpoint=True,
                **options | changed,
            )
    train(toy_blocks, output=tmp_path / "cut", resume_from_checkpoint=True, **options)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")


def test_each_block_has_a_rate_of_its_own_and_the_evaluation_has_one(
    toy_blocks, store, seen, tmp_path
):
    result = train(
        toy_blocks,
        output=tmp_path / "out",
        mlm_probability="uniform:0,1",
        num_train_epochs=2,
        **SCRATCH,
    )
    labels = torch.cat([labels for _, labels in seen])
    assert len(labels) == 2 * len(store)
    # Standard errors of 0.29 / sqrt(rows), and some for the draws of tokens.
    assert share(store, [labels]) == pytest.approx(0.5, abs=4 * 0.35 / len(labels) ** 0.5)
    counts = (labels != -100).sum(1)
    # At one rate of a half, a row has fewer than 3 of 14 or more tokens once in 150 rows.
    assert (counts < 3).float().mean() > 0.1
    assert result.after.mlm_probability == 0.15
    card = (tmp_path / "out" / "README.md").read_text()
    assert "0% to 100% (drawn uniformly for each block) of the ordinary tokens" in card
    with pytest.raises(InputError, match="An evaluation has one mask rate for all blocks"):
        EvaluationBlocks(store, mlm_probability="uniform:0,1")


def test_a_rate_of_each_block_excludes_a_schedule(toy_blocks, tmp_path):
    options = ["--mlm-probability", "beta:3,9", "--mask-rate-schedule", "0.3:0.1"]
    found = CliRunner().invoke(
        command, [str(toy_blocks), "--output", str(tmp_path / "out"), "--from-scratch", *options]
    )
    assert isinstance(found.exception, InputError)
    assert "Give mlm_probability (beta:3,9) or mask_rate_schedule" in str(found.exception)


def test_whole_words_are_masked_whole(toy_blocks, store, seen, tmp_path):
    result = CliRunner().invoke(
        command,
        [
            *(str(toy_blocks), "--output", str(tmp_path / "out"), "--model-type", "roberta"),
            *("--config-overrides", "hidden_size=16,num_hidden_layers=1,num_attention_heads=2"),
            *("--whole_word", "--max-steps", "4", "--use-cpu", "--quiet", "--no-report"),
            *("--precision", "fp32", "--eval-strategy", "no"),
        ],
    )
    assert result.exit_code == 0, result.output
    starts = word_starts(load_tokenizer(store.path).tokenizer, store.manifest.vocab_size)
    special = np.isin(np.arange(store.manifest.vocab_size), store.manifest.special_ids)
    originals, parts = store[:], 0
    for ids, labels in seen:
        for row, asked in zip(ids.numpy(), labels.numpy(), strict=True):
            fits = (originals == np.where(asked == -100, row, asked)).all(1)
            block = originals[fits.argmax()]
            for place in range(1, len(block)):
                goes_on = not starts[block[place]] and not special[block[place - 1]]
                if goes_on and not special[block[place]]:
                    assert (asked[place] == -100) == (asked[place - 1] == -100)
                    parts += asked[place] != -100
    assert parts
    kept = json.loads((tmp_path / "out" / "mlmfast_training.json").read_text())
    assert kept["masks"]["mode"] == "whole_word"
    assert "whole words at a time" in (tmp_path / "out" / "README.md").read_text()


def test_whole_words_of_text_without_blanks(seen, tmp_path, monkeypatch):
    """With the marker alone a row is one word, and most rows have no mask."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    japanese_tokenizer().save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "train.txt").write_text(f"{JAPANESE * 2}\n" * 64, encoding="utf-8")
    masks = {}
    for boundaries in ("marker", "characters"):
        seen.clear()
        words = [str(tmp_path / "train.txt"), "--output", str(tmp_path / boundaries)]
        words += ["--model-type", "bert", "--tokenizer-name", str(tmp_path / "tokenizer")]
        words += ["--config-overrides", "hidden_size=16,num_hidden_layers=1,num_attention_heads=2"]
        words += ["--line-by-line", "--whole-word", "--word-boundaries", boundaries, "--use-cpu"]
        words += ["--max-steps", "4", "--precision", "fp32", "--no-report", "--do-eval", "false"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if boundaries == "marker" else "error", UserWarning)
            result = CliRunner().invoke(command, [*words, "--validation-split-percentage", "0"])
        assert result.exit_code == 0, (result.output, result.exception)
        masks[boundaries] = torch.cat([labels != -100 for _, labels in seen])
    assert masks["marker"].any(1).float().mean() < 0.5
    assert masks["characters"].any(1).float().mean() > 0.9
    kept = json.loads((tmp_path / "characters" / "mlmfast_training.json").read_text())
    assert kept["masks"]["word_boundaries"] == "characters"


def test_spans(toy_blocks, seen, tmp_path):
    options = SCRATCH | QUICK | {"max_steps": 3, "mask_mode": "span"}
    train(toy_blocks, output=tmp_path / "out", mlm_probability=0.3, **options)
    labels = torch.cat([labels for _, labels in seen]) != -100
    beside = (labels[:, 1:] & labels[:, :-1]).sum() / labels.sum()
    assert beside > 0.4  # tokens drawn alone would have some 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_rate_schedule": "0.3"}, "start:end"),
        ({"mask_rate_schedule": "0.3:0.1:wavy"}, "linear or cosine, not 'wavy'"),
        ({"mask_rate_schedule": "0.3:1.5"}, "between 0 and 1"),
        ({"mask_rate_schedule": "0.3:0.1", "mlm_probability": 0.2}, "not both"),
        ({"mask_mode": "words"}, "mask_mode is 'words'"),
        ({"mask_mode": "span", "whole_word": True}, "not both"),
        ({"word_boundaries": "characters"}, "give whole_word"),
        ({"word_boundaries": "blanks", "whole_word": True}, "'marker' or 'characters'"),
    ],
)
def test_wrong_options(toy_blocks, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        train(toy_blocks, output=tmp_path / "out", **SCRATCH | options)
    assert not list(tmp_path.iterdir())


def test_a_step_is_needed_where_the_rate_changes(store):
    blocks = MaskedBlocks(store, mask_rate_schedule="0.5:0.1")
    with pytest.raises(InputError, match="say how many"):
        blocks.batch_at(0, [0])


def test_the_cosine_is_slow_at_both_ends():
    linear, cosine = (MaskRateSchedule(f"0.3:0.1{way}", 100) for way in ("", ":cosine"))
    assert cosine.rate(10) > linear.rate(10)
    assert cosine.rate(50) == pytest.approx(linear.rate(50))
    assert cosine.rate(90) < linear.rate(90)
    assert (cosine.rate(0), cosine.rate(200)) == (0.3, pytest.approx(0.1))
