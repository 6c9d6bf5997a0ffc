"""`mlmfast train` on the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mlmfast.cli.train import command
from mlmfast.errors import InputError
from mlmfast.training.options.arguments import split_flags
from tiny_flags import TINY_FLAGS

OWN = {"--model", "--output", "--quiet"}
TINY = [
    *TINY_FLAGS,
]


def test_training_arguments_are_taken_out_with_either_spelling():
    words = [
        "blocks",
        "--learning-rate",
        "1e-4",
        "--model",
        "m",
        "--num_train_epochs=2",
        "--bf16",
        "-q",
    ]
    rest, given = split_flags(words, OWN)
    assert rest == ["blocks", "--model", "m", "-q"]
    assert given == {"learning_rate": 1e-4, "num_train_epochs": 2.0, "bf16": True}


def test_a_switch_does_not_eat_the_next_word():
    assert split_flags(["--bf16", "blocks"], OWN) == (["blocks"], {"bf16": True})
    assert split_flags(["--bf16", "false", "blocks"], OWN) == (["blocks"], {"bf16": False})
    assert split_flags(["--no-dataloader-pin-memory", "blocks"], OWN) == (
        ["blocks"],
        {"dataloader_pin_memory": False},
    )


def test_negative_numbers_and_the_end_of_options():
    rest, given = split_flags(["--max_steps", "-1", "--", "--bf16"], OWN)
    assert (rest, given) == (["--", "--bf16"], {"max_steps": -1})


@pytest.mark.parametrize(
    ("flag", "close"),
    [
        ("--lerning-rate", "--learning-rate"),
        ("--num_epochs", "--num-train-epochs"),
        ("--modle", "--model"),
        ("--line_by_line", ""),
    ],
)
def test_an_unknown_flag_names_the_close_ones(flag, close):
    with pytest.raises(InputError, match=f"No such option: {flag.replace('_', '-')}.*{close}"):
        split_flags([flag, "1"], OWN)


@pytest.mark.parametrize("words", [["--optim", "muon"], ["--optim=muon"]])
def test_muon_is_an_optimizer_as_those_of_transformers_are(words):
    assert split_flags(["blocks", *words, "--max-steps", "3"], OWN) == (
        ["blocks"],
        {"optim": "muon", "max_steps": 3},
    )
    with pytest.raises(InputError, match="--optim: invalid choice: 'muons'"):
        split_flags(["--optim", "muons"], OWN)


def test_a_value_of_the_wrong_type():
    with pytest.raises(InputError, match="max_steps"):
        split_flags(["--max-steps", "many"], OWN)


def test_help_begins_with_an_example_and_names_the_training_arguments():
    text = CliRunner().invoke(command, ["--help"]).output
    assert text.startswith("Example:\n  mlmfast train blocks/")
    assert "--learning-rate" in text
    listed = CliRunner().invoke(command, ["--list-arguments"]).output
    assert "--weight-decay  [default: 0.01]" in listed
    assert "--output-dir" not in listed


def test_json_is_all_of_stdout(toy_blocks, tmp_path):
    words = [str(toy_blocks), *TINY, "--output_dir", str(tmp_path / "m"), "--max_steps", "2"]
    found = CliRunner().invoke(command, [*words, "--logging-steps=1", "--json"])
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert answer["steps"] == 2
    assert answer["after"]["perplexity"] > 1
    assert "perplexity" in found.stderr


def test_the_summary_tells_perplexity_before_and_after(toy_blocks, tmp_path):
    words = [str(toy_blocks), *TINY, "--output", str(tmp_path / "m"), "--max-steps", "1"]
    found = CliRunner().invoke(command, words)
    assert "before: perplexity" in found.stdout
    assert "after:  perplexity" in found.stdout
    assert "computing in" in found.stderr
    quiet = CliRunner().invoke(command, [*words, "--overwrite", "--quiet"])
    assert quiet.output == ""


def test_an_average_is_measured_beside_the_last_weights(toy_blocks, tmp_path):
    words = [str(toy_blocks), *TINY, "--output", str(tmp_path / "m"), "--max-steps", "2"]
    found = CliRunner().invoke(command, [*words, "--average-checkpoints", "ema:0.5", "--no-report"])
    assert found.exit_code == 0, found.output
    assert "last weights: perplexity" in found.stdout
    assert (
        "the model has the exponential moving average of the weights over the steps, decay 0.5"
        in (found.stdout)
    )
    assert "of the averaged weights" in found.stderr
    assert (tmp_path / "m" / "last" / "tokenizer.json").is_file()
    wrong = CliRunner().invoke(command, [*words, "--overwrite", "--average-checkpoints=mean"])
    assert isinstance(wrong.exception, InputError)


def test_muon_trains(toy_blocks, tmp_path):
    words = [str(toy_blocks), *TINY, "--output", str(tmp_path / "m"), "--max-steps", "1"]
    found = CliRunner().invoke(command, [*words, "--optim", "muon"])
    assert found.exit_code == 0, found.output
    assert "Muon trains" in found.stderr


def test_exit_statuses(toy_blocks, tmp_path):
    """2 with one sentence for a user's mistake; 130 and the way to go on after Ctrl-C."""

    def start(*words):
        line = [sys.executable, "-c", "from mlmfast.cli import main; main()", "train", *words]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    wrong = start(str(toy_blocks), "--output", str(tmp_path / "m"), "--lerning-rate", "1")
    _, message = wrong.communicate(timeout=300)
    assert wrong.returncode == 2
    assert message.startswith("Error: No such option: --lerning-rate; did you mean")
    assert "Traceback" not in message
    words = [*TINY, "--output", str(tmp_path / "m"), "--max-steps", "100000", "--logging-steps=1"]
    long = start(str(toy_blocks), *words)
    for line in long.stderr:
        if line.startswith("step 3/"):
            break
    long.send_signal(signal.SIGINT)
    _, message = long.communicate(timeout=300)
    assert long.returncode == 130
    assert "--resume-from-checkpoint" in message
    assert "Traceback" not in message
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["--lora", "rank=8,targets=query"], "rank=8,targets=query"),
        (["--lora=rank=8"], "rank=8"),
        (["--lora", "--keep-adapter"], ""),
        (["--lora"], ""),
        ([], None),
    ],
)
def test_adapters_with_and_without_options(tmp_path, monkeypatch, words, given):
    from mlmfast.training import train as module

    seen = {}

    def train(*_args, **options):
        seen.update(options)
        raise InputError("seen")

    monkeypatch.setattr(module, "train", train)
    CliRunner().invoke(command, ["blocks/", "--model", "m", "--output", "o", *words])
    assert seen["lora"] == given
    assert seen["keep_adapter"] is ("--keep-adapter" in words)
    settings = tmp_path / "settings.yaml"
    settings.write_text("model: m\noutput: o\ndata: blocks\nlora: {rank: 8, targets: [query]}\n")
    CliRunner().invoke(command, [str(settings)])
    assert seen["lora"] == {"rank": 8, "targets": ["query"]}
    settings.write_text("model: m\noutput: o\ndata: blocks\nlora: true\n")
    CliRunner().invoke(command, [str(settings)])
    assert seen["lora"] is True
