"""`mlmfast train` on text, by the flags of run_mlm.py."""

from __future__ import annotations

import json
from itertools import chain

import datasets
import pytest
import transformers
from click.testing import CliRunner

from mlmfast.cli.train import command
from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.options.run_mlm import resolve_do_flags, split_options
from mlmfast.training.train import train
from run_mlm_text import OVERRIDES, checkpoint, own_cache, run, stores, text  # noqa: F401 (fixtures)
from toy import SCRATCH, TINY, sentences


def test_run_mlms_own_command_line(text, tmp_path):
    """The flags of its README, underscores and all, for a model from scratch."""
    words = ["--model_type", "roberta", "--config_overrides", OVERRIDES]
    words += ["--tokenizer_name", text / "tokenizer", "--train_file", text / "train.txt"]
    words += ["--validation_file", text / "valid.txt", "--line_by_line", "True"]
    words += ["--max_seq_length", 12, "--per_device_train_batch_size", 4, "--max_train_samples", 24]
    words += ["--max_eval_samples", 5, "--do_train", "--do_eval", "--output_dir", tmp_path / "m"]
    words += ["--overwrite_output_dir", "--preprocessing_num_workers", 1, "--num_train_epochs", 1]
    found = run(*words, "--pad_to_max_length", "False", "--torch_dtype", "float32")
    assert found.exit_code == 0, (found.output, found.exception)
    answer = json.loads(found.stdout)
    assert answer["steps"] == 6  # 24 lines in batches of 4
    assert answer["after"]["blocks"] == 5
    assert answer["after"]["block_size"] == 12


def test_objects_and_names_of_run_mlm_in_python(checkpoint, tmp_path):
    table = datasets.Dataset.from_dict({"text": sentences(60)})
    found = train(
        table, model_name_or_path=checkpoint, output_dir=tmp_path / "m", max_seq_length=16,
        max_steps=1, use_cpu=True, quiet=True, do_train=True, do_eval=False, dtype="bfloat16",
    )  # fmt: skip
    assert found.after is None
    assert found.precision == "bf16"
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "m", dtype="auto")
    assert str(model.dtype) == "torch.bfloat16"


def test_config_name_shapes_a_new_model_or_changes_a_checkpoints(text, checkpoint, tmp_path):
    config = transformers.BertConfig.from_pretrained(checkpoint, hidden_act="relu")
    config.save_pretrained(tmp_path / "shape")
    options = {"max_seq_length": 16, "max_steps": 1, "use_cpu": True, "quiet": True}
    options |= {"tokenizer_name": text / "tokenizer", "config_name": tmp_path / "shape"}
    new = train(text / "train.txt", output=tmp_path / "new", **options)
    card = (new.output / "README.md").read_text()
    assert "trained from random weights" in card
    train(text / "train.txt", model=checkpoint, output=tmp_path / "old", **options)
    for folder in ("new", "old"):
        assert transformers.AutoConfig.from_pretrained(tmp_path / folder).hidden_act == "relu"


def test_settings_from_a_file_and_flags_that_win(text, tmp_path):
    settings = {
        "data": str(text / "train.txt"), "model_type": "roberta", "config_overrides": TINY,
        "tokenizer-name": str(text / "tokenizer"), "max_seq_length": 16, "max_steps": 3,
        "learning_rate": "1e-4", "line_by_line": True, "use_cpu": True, "quiet": True,
        "output_dir": str(tmp_path / "m"), "resume_from_checkpoint": None, "json": True,
    }  # fmt: skip
    file = tmp_path / "run.json"
    file.write_text(json.dumps(settings))
    alone = CliRunner().invoke(command, [str(file)])
    assert alone.exit_code == 0, (alone.output, alone.exception)
    assert json.loads(alone.stdout)["steps"] == 3
    yaml = tmp_path / "run.yaml"
    yaml.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items()))
    words = ["--config", str(yaml), "--max-steps=2", "--output", str(tmp_path / "two")]
    found = CliRunner().invoke(command, [*words, "--line-by-line", "false"])
    assert found.exit_code == 0, (found.output, found.exception)
    assert json.loads(found.stdout)["steps"] == 2
    assert json.loads(found.stdout)["after"]["block_size"] == 16
    assert "| learning_rate | `0.0001` |" in (tmp_path / "two" / "README.md").read_text()
    file.write_text('{"lerning_rate": 1}')
    assert "did you mean --learning-rate" in str(CliRunner().invoke(command, [str(file)]).exception)
    for content, said in (("[1]", "names and values"), ("{", "cannot be read")):
        file.write_text(content)
        assert said in str(CliRunner().invoke(command, [str(file)]).exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to train on"),
        ({"validation_file": "v.txt"}, "validation_file is for the evaluation"),
        ({"data": "a.txt", "train_file": "b.txt"}, "DATA and train_file both"),
        ({"dataset_name": "a", "train_file": "b.txt"}, "give one of them"),
        ({"train_file": "strange.xyz", "tokenizer_name": "?"}, "tokenizer"),
        ({"train_file": "t.txt", "validation_split_percentage": 100}, "is 100"),
        ({"train_file": "t.txt", "max_train_samples": 0}, "max_train_samples is 0"),
        ({"train_file": "t.txt", "dtype": "float16"}, "--fp16"),
        ({"train_file": "t.txt", "dataset_config_name": "en"}, "goes with dataset_name"),
        ({"train_file": "t.txt", "do_eval": True}, "mlmfast run-mlm"),
        ({"train_file": "t.txt", "do_train": False}, "mlmfast evaluate"),
        ({"train_file": "t.txt", "do_predict": True}, "no test set"),
        ({"train_file": "t.txt", "low_cpu_mem_usage": False}, "always"),
        ({"train_file": "t.txt"}, "needs a tokenizer"),
        ({"train_file": "t.txt", "output_dir": "other"}, "two names"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(tmp_path, options, message):
    options = {"model_type": "bert", "data": None, "use_cpu": True, **options}
    with pytest.raises((InputError, NotFoundError), match=message):
        train(options.pop("data"), output=tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_what_is_for_text_is_refused_for_blocks(toy_blocks, tmp_path):
    for option in ({"line_by_line": True}, {"max_seq_length": 9}, {"tokenizer_name": "bert/"}):
        with pytest.raises(InputError, match="DATA is a block store"):
            train(toy_blocks, output=tmp_path / "out", **SCRATCH, **option)
    few = {"max_train_samples": 3, "max_eval_samples": 2, "num_train_epochs": 1}
    found = train(toy_blocks, output=tmp_path / "out", **SCRATCH, **few)
    assert (found.steps, found.after.blocks) == (1, 2)


def test_flags_that_shape_no_blocks_are_taken_or_obeyed(text, tmp_path):
    words = ["--model_type", "bert", "--config_overrides", OVERRIDES, "--max_steps", 3]
    words += ["--tokenizer_name", text / "tokenizer", "--train_file", text / "train.txt"]
    words += ["--output_dir", tmp_path / "m", "--line_by_line", "--group_by_length"]
    words += ["--max_seq_length", 40, "--eval_on_start", "False", "--remove_unused_columns", "no"]
    words += ["--disable_tqdm", "True", "--evaluation_strategy", "steps", "--eval_steps", 3]
    words += ["--length_column_name", "n", "--report_to", '["none"]', "--hub_strategy", "end"]
    found = run(*words)
    assert found.exit_code == 0, (found.output, found.exception)
    answer = json.loads(found.stdout)
    assert answer["before"] is None
    assert answer["after"]["block_size"] == 40
    assert "step 3/3" not in found.stderr


def test_lines_of_like_lengths_share_batches(text, monkeypatch):
    """As transformers' sampler: among 50 batches, and the longest first."""
    store = stores(str(text / "train.txt"), None, tokenizer_name=str(text / "tokenizer"),
                   line_by_line=True, max_seq_length=40, validation_split_percentage=0)  # fmt: skip
    blocks = MaskedBlocks(store["train"])
    lengths = blocks.lengths()
    pad = store["train"].manifest.pad_token_id
    assert lengths.tolist() == (store["train"][:] != pad).sum(1).tolist()
    assert MaskedBlocks(store["train"], pad_to_max_length=True).lengths() is None

    def batches(lengths, rank=0, world_size=1):
        plan = BlockSampler(len(blocks), 4, rank, world_size, True, False, 1, lengths)
        return [plan.block_ids(number, epoch=2).tolist() for number in range(len(plan))]

    grouped = batches(lengths)
    assert sorted(chain(*grouped)) == list(range(len(blocks)))
    assert int(lengths[grouped[0][0]]) == lengths[list(chain(*grouped[:3]))].max()

    def padding(batches):
        return sum(int((lengths[ids].max() - lengths[ids]).sum()) for ids in batches)

    assert padding(grouped) < 0.5 * padding(batches(None))
    monkeypatch.setattr("mlmfast.data.loading.sampler.GROUPED", 2)
    two = [batches(lengths, rank, 2) for rank in (0, 1)]
    assert sorted(chain(*two[0], *two[1])) == list(range(len(blocks)))


def test_a_missing_block_store_is_not_taken_for_text(tmp_path):
    with pytest.raises(NotFoundError, match="blokcs"):
        train(tmp_path / "blokcs", output=tmp_path / "out", model_type="bert")


def test_do_eval_chooses_the_evaluation():
    assert resolve_do_flags({"do_train": True}) == {}
    assert resolve_do_flags({"do_train": True, "do_eval": True})["eval_strategy"] == "epoch"
    assert resolve_do_flags({"do_eval": False})["eval_strategy"] == "no"
    with pytest.raises(InputError, match="do_eval is false"):
        resolve_do_flags({"do_eval": False, "eval_strategy": "steps"})


def test_options_of_the_hub_reach_from_pretrained():
    given = {"model_revision": "v2", "token": "t", "trust_remote_code": True, "cache_dir": "c"}
    options, aliases, rest = split_options({**given, "model_name_or_path": "m", "max_steps": 1})
    expected = {"revision": "v2", "token": "t", "trust_remote_code": True, "cache_dir": "c"}
    assert options.hub == expected
    assert (aliases, rest) == ({"model": "m"}, {"max_steps": 1})
