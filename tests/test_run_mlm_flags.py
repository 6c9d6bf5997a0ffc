"""`mlmfast train` on text, by the flags of run_mlm.py."""

from __future__ import annotations

import json
import pickle
from itertools import chain

import datasets
import numpy as np
import pyarrow as pa
import pytest
import transformers
from click.testing import CliRunner

from mlmfast.cli.train import command
from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.store import open_splits
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.options.run_mlm import RunMlmOptions, check_doing, split_options
from mlmfast.training.text_data import prepare_text
from mlmfast.training.train import train
from toy import SCRATCH, TINY, sentences

OVERRIDES = ",".join(f"{name}={value}" for name, value in TINY.items())


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    lines = sentences(60)
    lines[3:3] = ["", "   "]
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    (folder / "valid.txt").write_text("\n".join(sentences(20, seed=1)) + "\n")
    train_tokenizer(sentences(60), folder / "tokenizer", vocab_size=300)
    return folder


@pytest.fixture(scope="module")
def checkpoint(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    config = transformers.BertConfig(vocab_size=300, max_position_embeddings=40, **TINY)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(text / "tokenizer").save_pretrained(folder)
    return folder


def stores(data, model, **options):
    return prepare_text(data, RunMlmOptions(**options), model=model, quiet=True)


def run(*words):
    return CliRunner().invoke(command, [*map(str, words), "--use_cpu", "--json"])


def test_tables_and_json_are_read_as_prepare_reads_them(checkpoint, tmp_path):
    (tmp_path / "a.csv").write_text('n;text\n1;"one two\n2;three four\n')
    (tmp_path / "b.json").write_text(json.dumps({"data": [{"text": "one two"}, {"text": "three"}]}))
    common = {
        "line_by_line": True,
        "max_seq_length": 8,
        "validation_split_percentage": 0,
        "cache_dir": str(tmp_path / "cache"),
    }
    how = {"csv_delimiter": ";", "csv_quoting": "none"}
    for file, more in (("a.csv", how), ("b.json", {"json_field": "data"})):
        found = stores(None, checkpoint, train_file=str(tmp_path / file), **more, **common)
        assert len(found["train"]) == 2


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


def test_line_by_line_gives_the_rows_of_the_tokenizer(text):
    found = stores(str(text / "train.txt"), None, tokenizer_name=str(text / "tokenizer"),
                   line_by_line=True, max_seq_length=16, validation_split_percentage=0)  # fmt: skip
    store = found["train"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(text / "tokenizer")
    lines = [line for line in (text / "train.txt").read_text().splitlines() if line.strip()]
    rows = tokenizer(lines, max_length=16, truncation=True, padding="max_length")["input_ids"]
    assert store[:].tolist() == rows
    assert store.manifest.padding_tokens == sum(row.count(tokenizer.pad_token_id) for row in rows)
    whole = sum(map(len, tokenizer(lines)["input_ids"]))
    manifest = store.manifest
    assert manifest.tokens - manifest.padding_tokens + manifest.dropped_tokens == whole


def test_pad_to_max_length_or_to_the_longest_of_the_batch(text):
    store = stores(str(text / "train.txt"), None, tokenizer_name=str(text / "tokenizer"),
                   line_by_line=True, max_seq_length=40)["train"]  # fmt: skip
    longest = int((store[:3] != store.manifest.pad_token_id).sum(1).max())
    short = EvaluationBlocks(store).__getitems__([0, 1, 2])
    full = EvaluationBlocks(store, pad_to_max_length=True).__getitems__([0, 1, 2])
    assert short["input_ids"].shape == (3, longest)
    assert full["input_ids"].shape == (3, 40)
    for name, rows in short.items():
        assert rows.equal(full[name][:, :longest])


def test_without_line_by_line_lines_are_joined_as_prepare_does(text, tmp_path):
    options = {"tokenizer_name": str(text / "tokenizer"), "max_seq_length": 16}
    found = stores(str(text / "train.txt"), None, **options, validation_split_percentage=20)
    same = prepare(
        str(text / "train.txt"), tmp_path / "b", tokenizer=text / "tokenizer",
        block_size=16, test_size=0.2,
    )  # fmt: skip
    for name in ("train", "test"):
        assert np.array_equal(found[name][:], same[name][:])
    assert set(stores(str(text / "train.txt"), None, **options, validation_split_percentage=0)) == {
        "train"
    }


def test_the_length_is_what_tokenizer_and_model_take(text, checkpoint):
    assert stores(str(text), checkpoint)["train"].block_size == 40
    assert stores(str(text), checkpoint, max_seq_length=99)["train"].block_size == 40
    assert stores(str(text), checkpoint, max_seq_length=9)["train"].block_size == 9


def test_prepared_text_is_kept_until_it_changes(text, tmp_path):
    file = tmp_path / "some.txt"
    file.write_text((text / "train.txt").read_text())
    options = {"tokenizer_name": str(text / "tokenizer"), "max_seq_length": 16}
    first = stores(str(file), None, **options)["train"].path
    made = first.stat().st_mtime_ns
    assert stores(str(file), None, **options)["train"].path == first
    assert first.stat().st_mtime_ns == made
    stores(str(file), None, **options, overwrite_cache=True)
    assert first.stat().st_mtime_ns != made
    file.write_text("\n".join(sentences(70, seed=3)))
    assert stores(str(file), None, **options)["train"].path != first
    elsewhere = stores(str(file), None, **options, cache_dir=str(tmp_path / "mine"))["train"]
    assert elsewhere.path.is_relative_to(tmp_path / "mine")


@pytest.mark.parametrize("streaming", [False, True])
def test_data_sets_with_and_without_a_validation_split(text, tmp_path, streaming):
    rows = {"id": list(range(60)), "text": sentences(60)}
    few = datasets.Dataset.from_dict({"text": sentences(9), "id": list(range(9))})
    both = datasets.DatasetDict(train=datasets.Dataset.from_dict(rows), validation=few)
    both.save_to_disk(tmp_path / "saved")
    (tmp_path / "raw").mkdir()
    both["train"].to_json(tmp_path / "raw" / "train.jsonl")
    options = {"tokenizer_name": str(text / "tokenizer"), "max_seq_length": 16}
    options["streaming"] = streaming
    saved = stores(None, None, dataset_name=str(tmp_path / "saved"), **options)
    assert saved["test"].manifest.documents == 9
    raw = stores(None, None, dataset_name=str(tmp_path / "raw"), **options)
    assert 0 < raw["test"].manifest.documents < 12
    assert raw["train"].manifest.documents + raw["test"].manifest.documents == 60
    with pytest.raises(InputError, match="no column 'body'"):
        stores(None, None, dataset_name=str(tmp_path / "raw"), text_column="body", **options)


def test_text_that_is_read_once_is_kept_by_what_came_of_it(text, tmp_path):
    """Streams of other text never share a folder; the same text gives the same one again."""
    options = {"tokenizer_name": str(text / "tokenizer"), "max_seq_length": 16}
    options |= {"cache_dir": str(tmp_path), "validation_split_percentage": 0}

    def stored(seed):
        table = pa.table({"text": sentences(60, seed=seed)})
        return stores(table, None, **options)["train"]

    first, second = stored(1), stored(2)
    assert first.path != second.path
    pickled = pickle.dumps(first)
    again = stored(1)
    assert again.path == first.path
    assert len(list((tmp_path / "mlmfast" / "blocks").iterdir())) == 2
    assert np.array_equal(pickle.loads(pickled)[:], first[:])
    (first.path / first.manifest.shards[0].file).unlink()
    mended = stored(1)
    assert mended.path == first.path
    mended.verify()


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


def test_a_tokenizer_larger_than_the_model_makes_rows(text, checkpoint, tmp_path, caplog):
    tokenizer = transformers.AutoTokenizer.from_pretrained(text / "tokenizer")
    tokenizer.add_tokens(["goodly", "olden"])
    tokenizer.save_pretrained(tmp_path / "larger")
    options = {"max_seq_length": 16, "max_steps": 1, "use_cpu": True, "quiet": True}
    options |= {"model": checkpoint, "tokenizer_name": tmp_path / "larger", "report": False}
    found = train(text / "train.txt", output=tmp_path / "m", **options)
    rows = transformers.AutoConfig.from_pretrained(checkpoint).vocab_size
    assert f"it gets {len(tokenizer) - rows} new rows" in caplog.text
    model = transformers.AutoModelForMaskedLM.from_pretrained(found.output)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer) > rows
    prepare(str(text / "train.txt"), tmp_path / "b", tokenizer=tmp_path / "larger", block_size=16)
    del options["tokenizer_name"], options["max_seq_length"]
    with pytest.raises(InputError, match="--add-tokens"):
        train(tmp_path / "b", output=tmp_path / "other", **options, eval_strategy="no")


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
        ({"validation_file": "v.txt"}, "measured on alone"),
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


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "table", "dataset", "streamed"])
def test_the_first_column_of_text_is_taken_where_none_is_called_text(text, tmp_path, caplog, kind):
    table = pa.table({"n": range(20), "sentence": sentences(20), "label": ["a"] * 20})
    rows = datasets.Dataset(table)
    options = {"tokenizer_name": str(text / "tokenizer"), "max_seq_length": 16}
    options |= {"line_by_line": True, "validation_split_percentage": 0}
    file, data = tmp_path / f"t.{kind}", None
    if kind in ("csv", "json", "parquet"):
        getattr(rows, f"to_{kind}")(file)
        options["train_file"] = str(file)
    elif kind == "streamed":
        rows.to_json(tmp_path / "data" / "train.jsonl")
        options |= {"dataset_name": str(tmp_path / "data"), "streaming": True}
    else:
        data = table if kind == "table" else rows
    with caplog.at_level("INFO"):
        found = stores(data, None, **options)["train"]
    assert "the first one that holds text is taken, sentence" in caplog.text
    named = stores(
        table, None, text_column="sentence", max_seq_length=16, line_by_line=True,
        validation_split_percentage=0, tokenizer_name=options["tokenizer_name"],
    )["train"]  # fmt: skip
    assert np.array_equal(found[:], named[:])
    with pytest.raises(InputError, match="no column 'body'"):
        stores(data, None, text_column="body", **options)


def test_what_is_for_text_is_refused_for_blocks(toy_blocks, tmp_path):
    for option in ({"line_by_line": True}, {"max_seq_length": 9}, {"tokenizer_name": "bert/"}):
        with pytest.raises(InputError, match="DATA is a block store"):
            train(toy_blocks, output=tmp_path / "out", **SCRATCH, **option)
    few = {"max_train_samples": 3, "max_eval_samples": 2, "num_train_epochs": 1}
    found = train(toy_blocks, output=tmp_path / "out", **SCRATCH, **few)
    assert (found.steps, found.after.blocks) == (1, 2)


def test_too_little_text_names_the_flags_of_train(text):
    with pytest.raises(InputError, match="--max-seq-length"):
        stores(str(text / "train.txt"), None, tokenizer_name=str(text / "tokenizer"))


def test_files_that_are_not_there_or_not_known(text, tmp_path):
    options = {"tokenizer_name": str(text / "tokenizer")}
    with pytest.raises(NotFoundError, match="There is no file"):
        stores(None, None, train_file=str(tmp_path / "none.txt"), **options)
    (tmp_path / "strange.xyz").write_text("text")
    with pytest.raises(InputError, match="--format"):
        stores(None, None, train_file=str(tmp_path / "strange.xyz"), **options)
    with pytest.raises(InputError, match="only once"):
        stores("-", None, **options)
    with pytest.raises(InputError, match="neither blocks nor text files"):
        stores(str(tmp_path), None, **options)
    forced = {"format": "txt", "max_seq_length": 4, "validation_split_percentage": 0}
    (tmp_path / "strange.xyz").write_text("\n".join(sentences(5)))
    assert len(stores(str(tmp_path / "strange.xyz"), None, **forced, **options)["train"])


def test_a_validation_file_goes_before_a_percentage(text):
    found = stores(None, None, train_file=str(text / "train.txt"), max_seq_length=16,
                   validation_file=str(text / "valid.txt"), validation_split_percentage=50,
                   tokenizer_name=str(text / "tokenizer"))  # fmt: skip
    assert found["train"].manifest.documents == 62
    assert found["test"].manifest.documents == 20


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
    assert check_doing({"do_train": True}) == {}
    assert check_doing({"do_train": True, "do_eval": True})["eval_strategy"] == "epoch"
    assert check_doing({"do_eval": False})["eval_strategy"] == "no"
    with pytest.raises(InputError, match="do_eval is false"):
        check_doing({"do_eval": False, "eval_strategy": "steps"})


def test_options_of_the_hub_reach_from_pretrained():
    given = {"model_revision": "v2", "token": "t", "trust_remote_code": True, "cache_dir": "c"}
    options, aliases, rest = split_options({**given, "model_name_or_path": "m", "max_steps": 1})
    expected = {"revision": "v2", "token": "t", "trust_remote_code": True, "cache_dir": "c"}
    assert options.hub == expected
    assert (aliases, rest) == ({"model": "m"}, {"max_steps": 1})


def test_one_document_a_block_is_gone_on_with_after_a_cut(text, tmp_path):
    """What a run that was cut off knows of its padding is not lost."""
    options = {"tokenizer": text / "tokenizer", "block_size": 8, "packing": "none"}
    whole = prepare(str(text / "train.txt"), tmp_path / "w", **options, shard_tokens=64)
    assert len(whole) == 62
    assert len(open_splits(tmp_path / "w")["train"].manifest.shards) > 1
    padding = int((whole[:] == whole.manifest.pad_token_id).sum())
    assert whole.manifest.padding_tokens == padding
    with pytest.raises(InputError, match="share blocks"):
        prepare(str(text), tmp_path / "x", **options, special_tokens="block")
