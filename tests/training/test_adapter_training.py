"""Trainings with adapters: what is trained, saved, merged and resumed."""

from __future__ import annotations

import json
import logging
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file

import processes_at_work as work
from adapter_trainings import OPTIONS, base  # noqa: F401 (a fixture)
from launching import launch
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.report.documents import SUMMARY_FILE
from mlmfast.training.train import train
from tolerances import KERNELS, LAYERS
from transformers_traits import REPEATS_HOOKS

peft = pytest.importorskip("peft")

pytestmark = pytest.mark.usefixtures("one_thread")

ADAPTER = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def whole(toy_blocks, base, tmp_path_factory):
    """A training that nothing interrupts, with its checkpoints."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    return train(toy_blocks, model=base, output=folder, keep_checkpoints=True, **OPTIONS)


@pytest.fixture(scope="module")
def kept(toy_blocks, base, tmp_path_factory):
    """The same, of which the adapter is kept."""
    folder = tmp_path_factory.mktemp("kept") / "out"
    return train(toy_blocks, model=base, output=folder, keep_adapter=True, **OPTIONS)


def weights(folder, file="model.safetensors"):
    return load_file(folder / file)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def logits_of(model, blocks):
    ids = torch.from_numpy(open_splits(blocks)["test"][:8].astype("int64"))
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


def test_only_the_adapters_learn_and_the_output_is_a_plain_model(whole, base, toy_blocks):
    before, after = weights(base), weights(whole.output)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    ends = ("query.weight", "key.weight", "value.weight", "dense.weight")
    assert changed == {name for name in before if name.endswith(ends)}
    assert not (whole.output / "adapter_config.json").exists()
    blocks = open_splits(toy_blocks)["train"]
    assert evaluate(whole.output, blocks).loss < evaluate(base, blocks).loss - 0.02
    # What was measured is what was written.
    found = evaluate(whole.output, toy_blocks)
    assert found.loss == pytest.approx(whole.after.loss, rel=KERNELS)
    assert found.masked_tokens == whole.after.masked_tokens
    transformers.AutoTokenizer.from_pretrained(whole.output)


def test_checkpoints_hold_the_adapter_and_its_small_state(whole, base):
    folder = whole.output / f"checkpoint-{whole.steps}"
    assert not (folder / "model.safetensors").exists()
    saved = weights(folder, ADAPTER)
    assert all("lora_" in name for name in saved)
    trained = sum(each.numel() for each in saved.values())
    assert trained == whole.adapter.trained_parameters
    assert whole.adapter.parameters == whole.parameters
    state = torch.load(folder / "optimizer.pt", weights_only=True)["state"]
    moments = [each[name] for each in state.values() for name in ("exp_avg", "exp_avg_sq")]
    assert sum(each.numel() for each in moments) == 2 * trained
    assert json.loads((folder / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == str(base)


def test_the_kept_adapter_computes_what_the_merged_model_does(whole, kept, base, toy_blocks):
    assert same(weights(kept.output, ADAPTER), weights(whole.output / "checkpoint-12", ADAPTER))
    names = {path.name for path in kept.output.iterdir()}
    assert {"adapter_config.json", ADAPTER, "tokenizer.json", SUMMARY_FILE, "README.md"} <= names
    assert not names & {"model.safetensors", "config.json"}
    opened = peft.AutoPeftModel.from_pretrained(kept.output)
    merged = transformers.AutoModelForMaskedLM.from_pretrained(whole.output)
    found, expected = logits_of(opened, toy_blocks), logits_of(merged, toy_blocks)
    assert torch.allclose(found, expected, atol=KERNELS)
    plain = transformers.AutoModelForMaskedLM.from_pretrained(base)
    assert (expected - logits_of(plain, toy_blocks)).abs().max() > 0.01
    assert evaluate(kept.output, toy_blocks).loss == pytest.approx(whole.after.loss, rel=KERNELS)


@pytest.mark.parametrize("step", [3, 7])
@pytest.mark.parametrize("lora", [OPTIONS["lora"], "rank=4,dropout=0.1,dora=true"])
def test_a_killed_training_resumes_bit_for_bit(whole, base, toy_blocks, tmp_path, step, lora):
    options = OPTIONS | {"model": base, "lora": lora}
    expected = whole
    if "dora" in lora:
        expected = train(toy_blocks, output=tmp_path / "whole", **options)
    (killed,) = launch(1, work.train_and_die, toy_blocks, tmp_path / "out", options, step)
    assert killed.status == -9
    with pytest.raises(InputError, match=r"another lora \(rank=4.*, now None\)"):
        train(
            toy_blocks,
            output=tmp_path / "out",
            resume_from_checkpoint=True,
            **options | {"lora": None},
        )
    with pytest.raises(InputError, match=r"another lora .*now rank=8"):
        train(
            toy_blocks,
            output=tmp_path / "out",
            resume_from_checkpoint=True,
            **options | {"lora": "rank=8"},
        )
    found = train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=True, **options)
    assert same(weights(expected.output), weights(tmp_path / "out"))
    assert found.after.loss == expected.after.loss


def test_a_resume_may_keep_the_adapter(whole, base, toy_blocks, tmp_path):
    options = OPTIONS | {"model": base}
    launch(1, work.train_and_die, toy_blocks, tmp_path / "out", options, 5)
    options |= {"resume_from_checkpoint": True, "keep_adapter": True}
    train(toy_blocks, output=tmp_path / "out", **options)
    expected = weights(whole.output / f"checkpoint-{whole.steps}", ADAPTER)
    assert same(weights(tmp_path / "out", ADAPTER), expected)


def test_the_best_adapter_is_the_one_that_is_written(base, toy_blocks, tmp_path):
    options = OPTIONS | {
        "eval_strategy": "steps",
        "eval_steps": 2,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        "greater_is_better": True,  # the first is the best, and stays
    }
    found = train(toy_blocks, model=base, output=tmp_path / "out", keep_checkpoints=True, **options)
    best = peft.AutoPeftModel.from_pretrained(tmp_path / "out" / "checkpoint-2")
    written = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    assert torch.allclose(logits_of(best, toy_blocks), logits_of(written, toy_blocks), atol=KERNELS)
    assert evaluate(written, toy_blocks).loss == pytest.approx(found.after.loss, rel=KERNELS)


def test_steps_have_the_losses_of_the_plain_trainer(base, toy_blocks, tmp_path):
    """Beside PEFT in transformers.Trainer, on whole logits, from the same adapters."""
    from mlmfast.training.datasets import MaskedBlocks
    from mlmfast.training.trainer.mlm_trainer import MLMTrainer
    from quiet_arguments import quiet_arguments

    masked = MaskedBlocks(open_splits(toy_blocks)["train"])
    rows = [masked[number] for number in range(len(masked))]

    def losses(kind, folder):
        model = transformers.AutoModelForMaskedLM.from_pretrained(
            base, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        torch.manual_seed(0)
        config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        found = []

        class Noting(kind):
            def training_step(self, *args, **kwargs):
                found.append(super().training_step(*args, **kwargs))
                return found[-1]

        arguments = quiet_arguments(
            folder, max_steps=8, learning_rate=1e-2, remove_unused_columns=False
        )
        trainer = Noting(
            peft.get_peft_model(model, config),
            arguments,
            transformers.default_data_collator,
            train_dataset=rows,
        )
        before = peft.get_peft_model_state_dict(trainer.model, save_embedding_layers=False)
        before = {name: each.clone() for name, each in before.items()}
        trainer.train()
        after = peft.get_peft_model_state_dict(trainer.model, save_embedding_layers=False)
        assert all(not torch.equal(after[name], before[name]) for name in before)
        return torch.stack(found), after

    (theirs, expected), (ours, adapters) = (
        losses(kind, tmp_path / kind.__name__) for kind in (transformers.Trainer, MLMTrainer)
    )
    assert torch.allclose(ours, theirs, rtol=0, atol=KERNELS)
    assert adapters.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.allclose(adapters[name], weight, atol=2 * LAYERS), name


@pytest.mark.parametrize("given", [{}, {"gradient_checkpointing_kwargs": {"use_reentrant": False}}])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_checkpointed_layers_learn_the_same(base, toy_blocks, tmp_path, dropout, given):
    if dropout and not REPEATS_HOOKS:
        pytest.skip("here a checkpointed last layer runs on all rows, and draws more numbers")
    model = shutil.copytree(base, tmp_path / "base")
    config = json.loads((model / "config.json").read_text())
    config |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    (model / "config.json").write_text(json.dumps(config))
    options = OPTIONS | {"lora": "rank=4,targets=all-linear", "max_steps": 4}
    options["save_strategy"] = "no"
    plain = train(toy_blocks, model=model, output=tmp_path / "a", **options)
    options |= {"gradient_checkpointing": True, **given}
    again = train(toy_blocks, model=model, output=tmp_path / "b", **options)
    # Dropout draws the same numbers when a layer runs again.
    assert again.after.loss == pytest.approx(plain.after.loss, rel=KERNELS)
    assert abs(again.after.loss - again.before.loss) > 100 * KERNELS


@pytest.mark.parametrize("given", [{"precision": "bf16"}, {"dtype": "bfloat16"}])
def test_in_half_precision(base, toy_blocks, tmp_path, given):
    options = OPTIONS | {"max_steps": 6, "save_strategy": "no"} | given
    options.pop("precision" if "dtype" in given else "dtype", None)
    found = train(toy_blocks, model=base, output=tmp_path / "out", **options)
    assert found.precision == "bf16"
    assert found.after.loss != found.before.loss
    dtype = torch.bfloat16 if "dtype" in given else torch.float32
    assert {each.dtype for each in weights(tmp_path / "out").values()} == {dtype}
    # Eight bits of a number, in the weights or in the products.
    measured = evaluate(tmp_path / "out", toy_blocks, precision="bf16")
    assert measured.loss == pytest.approx(found.after.loss, rel=2**-6)


def test_card_report_and_summary_tell_what_was_trained(base, toy_blocks, tmp_path, caplog):
    options = OPTIONS | {"max_steps": 2, "report": True, "lora": "rank=4,dora=true"}
    options.pop("learning_rate")
    with caplog.at_level(logging.INFO, "mlmfast"):
        found = train(toy_blocks, model=base, output=tmp_path / "out", **options)
    adapter = found.adapter
    said = (
        f"DoRA of rank 4 (alpha 32) on query, value: {adapter.trained_parameters:,} of "
        f"{adapter.parameters:,} parameters"
    )
    assert f"training {said}" in caplog.text
    assert "learning rate 0.0002, the default for adapters" in caplog.text
    assert "the head runs on masked rows, last layer too" in caplog.text
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"{said} " in card
    assert "merged into the weights" in card
    assert "library_name: transformers" in card
    assert "- dora" in card
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<td>rank</td><td>4, alpha 32, dropout 0</td>" in page
    assert f"{adapter.trained_parameters:,}, " in page
    assert f"trained {said}" in str(found)
    summary = json.loads((tmp_path / "out" / SUMMARY_FILE).read_text())
    assert summary["adapter"]["trained_parameters"] == adapter.trained_parameters
    assert summary["adapter"]["targets"] == ["query", "value"]
    assert found.mfu is not None


def test_the_card_of_a_kept_adapter(kept):
    card = (kept.output / "README.md").read_text()
    assert "library_name: peft" in card
    assert "An adapter for `" in card
    assert str(kept).endswith(f"adapter in {kept.output}")


def test_new_tokens_are_trained_with_the_adapters(base, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the catdog sat on a red mat and the catdog sang all night to every dog\n" * 60)
    options = OPTIONS | {"max_steps": 4, "save_strategy": "no", "eval_strategy": "no"}
    options |= {"max_seq_length": 16, "cache_dir": str(tmp_path / "cache")}
    given = {"model": base, "add_tokens": ["catdog"]}
    train(str(text), output=tmp_path / "out", **given, **options)
    name = "roberta.embeddings.word_embeddings.weight"
    before, after = (weights(folder)[name] for folder in (base, tmp_path / "out"))
    assert torch.equal(after[: len(before)], before)
    train(str(text), output=tmp_path / "not", **given, **options | {"learning_rate": 1e-12})
    rows = slice(len(before), None)
    assert len(after) == len(before) + 1
    assert (after[rows] - weights(tmp_path / "not")[name][rows]).abs().max() > 1e-3
    with pytest.raises(InputError, match=r"add_tokens changes the model.*leave out keep_adapter"):
        train(str(text), output=tmp_path / "kept", keep_adapter=True, **given, **options)


def test_an_adapter_is_a_model_to_start_from(kept, whole, toy_blocks, tmp_path):
    """It is merged, and trained on like any checkpoint."""
    options = OPTIONS | {"lora": None, "max_steps": 1, "save_strategy": "no"}
    found = train(toy_blocks, model=kept.output, output=tmp_path / "out", **options)
    assert found.before.loss == pytest.approx(whole.after.loss, rel=KERNELS)
    again = train(toy_blocks, model=whole.output, output=tmp_path / "again", **options)
    assert found.after.loss == pytest.approx(again.after.loss, rel=LAYERS)
    options |= {"lora": "rank=2", "keep_adapter": True}
    with pytest.raises(InputError, match="is an adapter itself"):
        train(toy_blocks, model=kept.output, output=tmp_path / "kept", **options)
