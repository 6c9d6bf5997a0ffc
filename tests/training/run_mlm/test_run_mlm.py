"""`mlmfast run-mlm`: run_mlm.py's flags, defaults and files."""

from __future__ import annotations

import dataclasses
import json
import shlex

import pytest
import transformers
import yaml
from click.testing import CliRunner

from command_lines import COMMAND_LINES
from left_by_run_mlm import FURTHER_FILES, LISTED, Run, compare
from mlmfast.cli.run_mlm import command
from mlmfast.errors import InputError, NotFoundError, OutputExistsError
from mlmfast.training.run_mlm.arguments import RunMlmArguments, parse_run_mlm
from peers_run_mlm import DOCS, THEIRS, peers_run, table_of
from run_mlm_text import write_checkpoint, write_text
from toy import TINY, sentences

NEEDED = ["--model_name_or_path", "m", "--train_file", "t.txt", "--output_dir", "o"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "run-mlm-cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_text(folder, 50, 12)
    write_checkpoint(folder / "model", folder / "tokenizer")
    return folder


def run(*words, settings=None):
    common = ["--use_cpu", "--report_to", "none", "--disable_tqdm", "True"]
    given = [settings] if settings else [*words, *common]
    found = CliRunner().invoke(command, [str(word) for word in given])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found.output


def words_of(home, output, **flags):
    flags = {"model_name_or_path": home / "model", "output_dir": output, "max_steps": 4} | flags
    return [word for name, value in flags.items() for word in (f"--{name}", value)]


def results(folder, name="all"):
    return json.loads((folder / f"{name}_results.json").read_text())


def test_every_flag_and_every_default_is_run_mlms():
    options, training = parse_run_mlm(NEEDED)
    ours = {field.name: field.default for field in dataclasses.fields(RunMlmArguments)}
    assert {name: ours[name] for name in THEIRS} == THEIRS
    assert set(ours) - set(THEIRS) == {
        name.removeprefix("--") for name in table_of("Further flags")
    }
    assert options.mlm_probability == 0.15
    theirs = transformers.HfArgumentParser(transformers.TrainingArguments)
    plain = theirs.parse_args_into_dataclasses(["--output_dir", "o"], look_for_args_file=False)[0]
    stamp = {"logging_dir"}  # holds the time of day
    for field in dataclasses.fields(transformers.TrainingArguments):
        if field.init and field.name not in stamp:
            assert getattr(training, field.name) == getattr(plain, field.name), field.name
    assert (training.learning_rate, training.weight_decay, training.seed) == (5e-5, 0, 42)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_lines_of_others_are_taken(line, monkeypatch):
    # Whether this machine has a GPU is not the question here.
    monkeypatch.setattr("mlmfast.training.run_mlm.arguments.make_arguments", dict)
    _, training = parse_run_mlm(shlex.split(line))
    assert training["do_train"] or training["do_eval"]


def test_values_in_every_spelling():
    words = ["--line-by-line", "--max_seq_length=16", "--no_use_fast_tokenizer", "--do_eval", "no"]
    words += ["--include_for_metrics", '["inputs", "loss"]', "--evaluation_strategy=steps"]
    words += ["--lr_scheduler_kwargs", '{"num_cycles": 2}', "--adam_eps", "1e-6"]
    options, training = parse_run_mlm(NEEDED + words)
    assert (options.line_by_line, options.max_seq_length) == (True, 16)
    assert options.use_fast_tokenizer is False
    assert training.include_for_metrics == ["inputs", "loss"]
    assert training.lr_scheduler_kwargs == {"num_cycles": 2}
    assert (training.adam_epsilon, str(training.eval_strategy.value)) == (1e-6, "steps")
    listed = {"label_names": ["labels"], "learning_rate": "1e-3", "config-overrides": None}
    _, training = parse_run_mlm(NEEDED, listed)
    assert (training.label_names, training.learning_rate) == (["labels"], 1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lerning_rate", "1"], "did you mean --learning_rate"),
        (["--learning_rate", "much"], "invalid float"),
        (["more.txt"], "belongs to no flag"),
        (["--train_file", "t.docx"], "--format"),
        (["--include_for_metrics", "[inputs"], "not a JSON array"),
        (["--config_overrides", "hidden_size=8"], "own configuration"),
        (["--dtype", "float16"], "--fp16"),
    ],
)
def test_mistakes_are_named(words, message):
    with pytest.raises(InputError, match=message):
        parse_run_mlm(NEEDED + words)


def test_a_run_leaves_the_files_and_figures_that_run_mlm_leaves(home, tmp_path):
    """Both run; what differs is what docs/run_mlm.md lists."""
    flags = {"train_file": home / "train.txt", "validation_file": home / "valid.txt"}
    words = words_of(home, tmp_path / "ours", **flags, max_seq_length=16, save_steps=2)
    words += ["--do_train", "--do_eval", "--line_by_line", "--eval_strategy", "steps"]
    words += ["--eval_steps", "2", "--load_best_model_at_end", "--metric_for_best_model"]
    shown = run(*words, "eval_accuracy")
    assert "***** eval metrics *****" in shown
    peers_run(home, tmp_path / "theirs", **flags, length=16, steps=4)
    theirs, ours = (Run(0, tmp_path / name) for name in ("theirs", "ours"))
    assert compare(theirs, ours) == []
    found = results(tmp_path / "ours")
    assert (found["train_samples"], found["eval_samples"]) == (50, 12)
    # What the page lists is so.
    assert set(LISTED) | {"checkpoint-*", "trainer_state.json"} == table_of("Files that differ")
    assert all(f"`{name}`" in DOCS.read_text() for name in FURTHER_FILES)
    texts = [run.results("tokenizer.json")["truncation"] for run in (theirs, ours)]
    assert texts[0]["max_length"] == 16
    assert texts[1] is None
    logs = [run.results("trainer_state.json")["log_history"] for run in (theirs, ours)]
    assert [[row["step"] for row in log if "loss" in row] for log in logs] == [[], [4]]
    cards = [(run.output / "README.md").read_text() for run in (theirs, ours)]
    assert ["base_model:" in card for card in cards] == [True, False]
    card = yaml.safe_load((tmp_path / "ours" / "README.md").read_text().split("---")[1])
    assert card["model-index"] == [{"name": "ours", "results": []}]
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "ours")
    assert model.config.model_type == "bert"


def test_a_file_alone_and_the_first_column_and_the_first_rows(home, tmp_path):
    rows = [f'"{line}",{at}' for at, line in enumerate(sentences(40))]
    (tmp_path / "train.csv").write_text("\n".join(["sentence,text_id", *rows]) + "\n")
    settings = {
        "model_type": "bert", "config_overrides": TINY, "tokenizer_name": str(home / "tokenizer"),
        "train_file": str(tmp_path / "train.csv"), "output_dir": str(tmp_path / "out"),
        "do_train": True, "do_eval": True, "line_by_line": True, "max_seq_length": 12,
        "validation_split_percentage": 20, "learning_rate": "1e-3", "max_steps": 1,
        "use_cpu": True, "report_to": ["none"], "disable_tqdm": True, "save_strategy": "no",
    }  # fmt: skip
    file = tmp_path / "run.yaml"
    file.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items()))
    run(settings=file)
    found = results(tmp_path / "out")
    assert (found["train_samples"], found["eval_samples"]) == (32, 8)
    assert found["eval_accuracy"] == found["eval_top1"]


@pytest.mark.parametrize(
    ("name", "content", "flags"),
    [
        (
            "t.csv",
            'n;text\n1;"one two\n2;three four\n',
            {"csv_delimiter": ";", "csv_quoting": "none"},
        ),
        ("t.tsv", 'n\ttext\n1\t"one two\n2\tthree four\n', {"csv_quoting": "none"}),
        ("t.json", '{"data": [{"text": "one two"}, {"text": "three"}]}', {"json_field": "data"}),
    ],
)
def test_tables_are_read_as_the_flags_say(home, tmp_path, name, content, flags):
    (tmp_path / name).write_text(content)
    flags = {"validation_file": tmp_path / name, "max_seq_length": 8, **flags}
    run(*words_of(home, tmp_path / "out", **flags), "--do_eval", "--line_by_line")
    assert results(tmp_path / "out")["eval_samples"] == 2


def test_measuring_alone_and_training_alone(home, tmp_path):
    flags = {"validation_file": home / "valid.txt", "max_seq_length": 16, "max_eval_samples": 5}
    run(*words_of(home, tmp_path / "eval", **flags), "--do_eval", "--line_by_line")
    assert results(tmp_path / "eval")["eval_samples"] == 5
    assert not (tmp_path / "eval" / "train_results.json").exists()
    assert not (tmp_path / "eval" / "model.safetensors").exists()
    flags = {"train_file": home / "train.txt", "max_seq_length": 16, "max_train_samples": 8}
    words = words_of(home, tmp_path / "train", **flags, max_steps=1)
    run(*words, "--do_train", "--line_by_line", "--group_by_length")
    assert results(tmp_path / "train")["train_samples"] == 8
    assert not (tmp_path / "train" / "eval_results.json").exists()
    with pytest.raises(InputError, match="--do_train needs a split train"):
        run(*words_of(home, tmp_path / "none", validation_file=home / "valid.txt"), "--do_train")


def test_measuring_alone_leaves_what_run_mlm_leaves(home, tmp_path):
    flags = {"train_file": home / "train.txt", "validation_file": home / "valid.txt"}
    words = words_of(home, tmp_path / "ours", **flags, max_seq_length=16)
    run(*words, "--do_eval", "--line_by_line")
    peers_run(home, tmp_path / "theirs", **flags, length=16, steps=4, train=False)
    assert compare(Run(0, tmp_path / "theirs"), Run(0, tmp_path / "ours")) == []
    assert "eval_model_preparation_time" in results(tmp_path / "ours", "eval")


def test_a_stream_is_trained_and_measured_as_the_same_data_set(home, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for split, name in (("train", "train"), ("validation", "valid")):
        lines = (home / f"{name}.txt").read_text().splitlines()
        rows = [json.dumps({"number": at, "text": line}) for at, line in enumerate(lines)]
        (data / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    found = []
    for name, switches in (("whole", []), ("stream", ["--streaming"])):
        flags = {"dataset_name": data, "max_seq_length": 16, "cache_dir": tmp_path / name}
        words = words_of(home, tmp_path / f"{name}-out", **flags)
        run(*words, "--do_train", "--do_eval", *switches)
        found.append(results(tmp_path / f"{name}-out"))
    figures = "train_samples", "eval_samples", "train_loss", "eval_loss", "eval_accuracy", "epoch"
    assert all(found[0][name] == found[1][name] for name in figures)


def test_a_run_goes_on_from_its_last_checkpoint(home, tmp_path):
    flags = {"train_file": home / "train.txt", "max_seq_length": 16, "save_steps": 2}
    words = words_of(home, tmp_path / "out", **flags)
    run(*words, "--do_train")
    (tmp_path / "out" / "model.safetensors").unlink()
    shown = run(*words, "--do_train", "--max_steps", "6")
    assert f"resuming from {tmp_path / 'out' / 'checkpoint-4'}" in shown
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    assert state["global_step"] == 6
    assert "model.safetensors" in {path.name for path in (tmp_path / "out").iterdir()}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    words = words_of(home, tmp_path / "other", **flags, max_steps=1)
    with pytest.raises(OutputExistsError, match="--overwrite_output_dir"):
        run(*words, "--do_train")
    with pytest.raises(NotFoundError, match="There is no checkpoint nowhere"):
        run(*words, "--do_train", "--resume_from_checkpoint", "nowhere")
    run(*words, "--do_train", "--overwrite_output_dir")
    assert (tmp_path / "other" / "notes.txt").read_text() == "mine"


def test_a_tokenizer_larger_than_the_model_makes_rows(home, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(home / "tokenizer")
    tokenizer.add_tokens(["goodly", "olden"])
    tokenizer.save_pretrained(tmp_path / "larger")
    before = transformers.AutoModelForMaskedLM.from_pretrained(home / "model")
    size = before.get_input_embeddings().num_embeddings
    added = len(tokenizer) - size
    assert added > 0
    flags = {"train_file": home / "train.txt", "max_seq_length": 16, "max_steps": 1}
    words = words_of(home, tmp_path / "out", tokenizer_name=tmp_path / "larger", **flags)
    shown = run(*words, "--do_train")
    assert f"it gets {added} new rows" in shown
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert len(transformers.AutoTokenizer.from_pretrained(tmp_path / "out")) == len(tokenizer)


def test_a_data_set_is_in_the_card(home, tmp_path):
    import datasets

    rows = {"id": list(range(20)), "text": sentences(20)}
    both = datasets.DatasetDict(
        train=datasets.Dataset.from_dict(rows), validation=datasets.Dataset.from_dict(rows)
    )
    both.save_to_disk(tmp_path / "data")
    flags = {"dataset_name": tmp_path / "data", "max_seq_length": 16, "max_steps": 1}
    run(*words_of(home, tmp_path / "out", **flags), "--do_train", "--do_eval", "--line_by_line")
    card = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---")[1])
    [index] = card["model-index"]
    [result] = index["results"]
    assert result["task"]["type"] == "fill-mask"
    assert [metric["type"] for metric in result["metrics"]] == ["accuracy"]
    assert "base_model" not in card
