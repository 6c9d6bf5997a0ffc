"""The tables of docs/run_mlm.md: every flag is taken or listed, and every listed one differs."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from functools import partial

import pytest
import transformers
from click.testing import CliRunner

from mlmfast.cli.run_mlm import command
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.errors import InputError
from mlmfast.training.options.arguments import check_names, describe_fields
from mlmfast.training.options.removed import removed_names
from mlmfast.training.options.run_mlm import ALIASES, OLD_NAMES, RunMlmOptions, split_options
from mlmfast.training.run_mlm.arguments import describe_run_mlm, parse_run_mlm
from mlmfast.training.run_mlm.text import run_mlm_blocks
from mlmfast.training.text_data import text_options
from mlmfast.training.train import train
from peers_run_mlm import DOCS, THEIRS, table_of
from toy import TINY, sentences

NEEDED = {"model_name_or_path": "m", "train_file": "t.txt", "output_dir": "o"}
FIELDS = {each.name for each in dataclasses.fields(transformers.TrainingArguments) if each.init}
# Other values than the defaults of flags that are listed as without effect.
WITHOUT_EFFECT = {
    "low_cpu_mem_usage": True,
    "label_names": "labels",
    "include_for_metrics": "inputs",
    "past_index": 0,
    "remove_unused_columns": False,
    "length_column_name": "many",
    "prediction_loss_only": True,
    "dataloader_num_workers": 1,
    "dataloader_prefetch_factor": 2,
    "dataloader_persistent_workers": True,
    "eval_accumulation_steps": 1,
}


def words_of(**flags):
    return [str(word) for name, value in flags.items() for word in (f"--{name}", value)]


def parse(**flags):
    return parse_run_mlm(words_of(**NEEDED | flags))


def refused(call, *args, error=InputError, **options):
    with pytest.raises(error):
        call(*args, **options)
    return True


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "train.txt").write_text("\n".join(sentences(40)) + "\n")
    train_tokenizer(sentences(60), folder / "model", vocab_size=300)
    config = transformers.BertConfig(vocab_size=400, max_position_embeddings=40, **TINY)
    transformers.BertForMaskedLM(config).save_pretrained(folder / "model")
    return folder


def run(home, output, *switches, **flags):
    flags = {"cache_dir": home / "cache", "output_dir": output, "report_to": "none"} | flags
    flags |= {"train_file": home / "train.txt", "max_seq_length": 16, "disable_tqdm": True}
    ended = CliRunner().invoke(command, [*words_of(**flags), "--use_cpu", *switches])
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return json.loads((output / "all_results.json").read_text())


def test_run_mlm_takes_every_flag():
    """Whatever its table lists is taken, too."""
    shown = {line[2:].split()[0] for line in describe_run_mlm() if line.startswith("--")}
    assert shown == FIELDS | set(THEIRS) | {name[2:] for name in table_of("Further flags")}
    told = {name.removeprefix("--") for name in table_of("Flags that do something else")}
    taken = shown | set(removed_names())
    assert told <= taken | {"evaluation_strategy", "torch_dtype", "use_auth_token"}


def test_train_takes_every_flag_but_those_that_its_table_calls_refused():
    own = {each.name for each in dataclasses.fields(RunMlmOptions)} | set(ALIASES)
    own |= set(inspect.signature(train).parameters) | {"low_cpu_mem_usage"}
    assert set(THEIRS) <= own
    taken = {
        line[2:].split()[0].replace("-", "_") for line in describe_fields() if line[:2] == "--"
    }
    section = DOCS.read_text(encoding="utf-8").split("## The same flags in `mlmfast train`\n")[1]
    [row] = [line for line in section.splitlines() if "| refused: they" in line]
    told = set(re.findall(r"`--(\w+)`", row.split("|")[1]))
    assert FIELDS - taken - own == told & FIELDS
    for name in told:
        assert refused(check_names, [name])
    for name in taken:
        check_names([name])


def test_flags_in_the_table_of_train_are_flags():
    told = {name.removeprefix("--") for name in table_of("The same flags in `mlmfast train`")
            if name.startswith("--")}  # fmt: skip
    known = (
        FIELDS
        | set(removed_names())
        | set(THEIRS)
        | set(OLD_NAMES)
        | {"text_column", "no_use_fast_tokenizer"}
    )
    assert told <= known
    assert refused(split_options, {"low_cpu_mem_usage": False})


def old_names_are_refused_there():
    theirs = transformers.HfArgumentParser(transformers.TrainingArguments)
    for name in ("evaluation_strategy", "torch_dtype", "use_auth_token"):
        parse(**{name: "no" if name == "evaluation_strategy" else "auto"})
        words = ["--output_dir", "o", f"--{name}", "no"]
        refused(theirs.parse_args_into_dataclasses, words, error=ValueError)
    return True


def length_is_lowered_to_the_models(home):
    options = parse(max_seq_length=64)[0]
    model = home / "model"
    tokenizer = load_tokenizer(model)
    assert tokenizer.model_max_length is None  # run_mlm.py would take 64
    return text_options(options, tokenizer, model, quiet=True).block_size == 40


def threads(home):
    options = parse(preprocessing_num_workers=3)[0]
    return text_options(options, load_tokenizer(home / "model"), None, quiet=True).threads == 3


def a_share_of_no_row_is_no_error_in_training(home):
    (home / "short.txt").write_text("the old cat sat on a red mat\n" * 4)
    given = {"train_file": home / "short.txt", "cache_dir": home / "cache", "max_seq_length": 8}
    options, _ = parse(model_name_or_path=home / "model", **given)
    make = partial(run_mlm_blocks, options, load_tokenizer(home / "model"), quiet=True)
    assert refused(make, ["validation"])
    return len(make(["train"])["train"]) > 0


# Listed difference -> whether it is one still.
DIFFERENCES = {
    "dtype": lambda _: refused(parse, dtype="float16"),
    "max_seq_length": length_is_lowered_to_the_models,
    "config_overrides": lambda _: parse_run_mlm(
        words_of(config_name="c", tokenizer_name="t", config_overrides="a=1", train_file="t.txt",
                 output_dir="o")
    ),
    "train_file": lambda _: [parse(train_file=f"t.{end}") for end in ("jsonl", "tsv", "parquet")],
    "validation_file": lambda _: [parse(validation_file=f"v.{end}") for end in ("jsonl", "tsv")],
    "preprocessing_num_workers": threads,
    "validation_split_percentage": a_share_of_no_row_is_no_error_in_training,
    "evaluation_strategy": lambda _: old_names_are_refused_there(),
}  # fmt: skip
# Differences with a test of their own: here below, in test_text_data.py (rows are cut to the
# longest of their batch) and in test_processes.py (losses that are no number).
ELSEWHERE = {"model_type", "config_name", "streaming", "fp16", "logging_nan_inf_filter"}


def test_every_listed_difference_has_a_test():
    told = {name.removeprefix("--") for name in table_of("Flags that do something else")}
    tested = set(DIFFERENCES) | ELSEWHERE | set(WITHOUT_EFFECT) | {"torch_dtype", "use_auth_token"}
    assert told == tested


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_listed_difference_is_one(home, name):
    assert DIFFERENCES[name](home)


def test_a_configuration_gets_the_tokenizers_vocabulary_and_a_stream_needs_no_max_steps(
    home, tmp_path
):
    config = {"config_name": home / "model", "tokenizer_name": home / "model"}
    run(home, tmp_path / "m", "--do_train", "--streaming", num_train_epochs=1, **config)
    made = transformers.AutoConfig.from_pretrained(tmp_path / "m")
    tokenizer = transformers.AutoTokenizer.from_pretrained(home / "model")
    assert made.vocab_size == len(tokenizer) < 400
    assert made.pad_token_id == tokenizer.pad_token_id


def test_flags_that_are_listed_as_without_effect_have_none(home, tmp_path):
    usual = {"model_name_or_path": home / "model", "max_steps": 2}
    plain = run(home, tmp_path / "plain", "--do_train", "--do_eval", **usual)
    changed = run(home, tmp_path / "changed", "--do_train", "--do_eval", **usual, **WITHOUT_EFFECT)
    assert plain.keys() == changed.keys()
    for name in ("train_loss", "eval_loss", "eval_accuracy", "train_samples", "eval_samples"):
        assert plain[name] == changed[name], name
