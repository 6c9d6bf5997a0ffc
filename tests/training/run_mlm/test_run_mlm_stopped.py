"""`mlmfast run-mlm` stopped by signals, in several processes, and what it leaves in a process."""

from __future__ import annotations

import json
import signal

import pytest
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file

import processes_at_work as work
from launching import launch
from mlmfast.cli.run_mlm import command
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.training.process.state import ProcessState
from tolerances import KERNELS, SUMS
from toy import sentences


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "train.txt").write_text("\n".join(sentences(40)) + "\n")
    (folder / "valid.txt").write_text("\n".join(sentences(11, seed=1)) + "\n")
    train_tokenizer(sentences(60), folder / "tokenizer", vocab_size=300)
    config = transformers.BertConfig(vocab_size=300, max_position_embeddings=40, **work.STILL)
    transformers.BertForMaskedLM(config).save_pretrained(folder / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
    tokenizer.save_pretrained(folder / "model")
    return folder


def words_for(home, output, *switches, **flags):
    flags = {
        "model_name_or_path": home / "model",
        "train_file": home / "train.txt",
        "validation_file": home / "valid.txt",
        "cache_dir": home / "cache",
        "output_dir": output,
        "max_seq_length": 16,
        "max_steps": 6,
        "report_to": "none",
        "disable_tqdm": True,
    } | flags
    named = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    return [*named, "--do_train", "--do_eval", "--line_by_line", "--use_cpu", *switches]


def run(words):
    ended = CliRunner().invoke(command, words)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return ended


@pytest.fixture
def signals(monkeypatch):
    """Let further Trainers of this process send a signal after a step."""

    def send(step, number):
        usual = [
            each
            for each in transformers.trainer.DEFAULT_CALLBACKS
            if not isinstance(each, work.Signals)
        ]
        further = [] if number is None else [work.Signals(step, number=number)]
        monkeypatch.setattr(transformers.trainer, "DEFAULT_CALLBACKS", [*usual, *further])

    return send


def state_of(folder):
    return json.loads((folder / "trainer_state.json").read_text())


def furthest(one, other):
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [
        (signal.SIGINT, 130, "Interrupted"),
        (signal.SIGTERM, 143, "Stopped by SIGTERM"),
        (signal.SIGUSR1, 138, "Stopped by SIGUSR1"),
    ],
)
def test_a_signal_leaves_a_checkpoint_that_the_same_command_goes_on_from(
    home, tmp_path, signals, number, status, reason
):
    """Although no checkpoint was to be written."""
    output = tmp_path / "out"
    words = words_for(home, output, save_strategy="no")
    signals(2, number)
    ended = run(words)
    assert ended.exit_code == status
    assert ended.stderr.strip().splitlines()[-1] == (
        f"{reason}: the checkpoint of step 2 is in {output}, and the same command resumes from it."
    )
    assert [path.name for path in output.glob("checkpoint-*")] == ["checkpoint-2"]
    assert not (output / "model.safetensors").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signals(2, None)
    assert run(words).exit_code == 0
    assert run(words_for(home, tmp_path / "whole", save_strategy="no")).exit_code == 0
    assert state_of(output)["global_step"] == 6
    assert furthest(output, tmp_path / "whole") == 0


def test_beside_checkpoints_of_an_earlier_training_the_new_one_is_named(home, tmp_path, signals):
    output = tmp_path / "out"
    assert run(words_for(home, output, save_steps=6)).exit_code == 0
    signals(3, signal.SIGTERM)
    words = words_for(home, output, "--overwrite_output_dir")
    told = run(words).stderr.strip().splitlines()[-1]
    assert f"with --resume_from_checkpoint {output / 'checkpoint-3'} resumes from it" in told
    signals(3, None)
    shown = run([*words, "--resume_from_checkpoint", str(output / "checkpoint-3")])
    assert shown.exit_code == 0
    assert state_of(output)["global_step"] == 6


def test_a_signal_before_the_first_step_ends_at_once(home, tmp_path, monkeypatch):
    import mlmfast.training.run_mlm.command as module

    made = module.load_model

    def slow(*args, **options):
        signal.raise_signal(signal.SIGTERM)
        return made(*args, **options)

    monkeypatch.setattr(module, "load_model", slow)
    ended = run(words_for(home, tmp_path / "out"))
    assert ended.exit_code == 143
    assert "Stopped by SIGTERM: nothing half done was left behind." in ended.stderr
    assert not (tmp_path / "out").exists()


def test_two_processes_train_and_measure_what_one_does(home, tmp_path):
    """The first one alone writes; samples, steps, figures and weights are one process's."""
    one = {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 8}
    two = {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 4}
    (alone,) = launch(1, work.run_mlm_with, words_for(home, tmp_path / "one", **one))
    pair = launch(2, work.run_mlm_with, words_for(home, tmp_path / "two", **two))
    assert [each.status for each in (alone, *pair)] == [0, 0, 0], (alone, pair)
    for name in ("train_samples", "eval_samples", "epoch"):
        assert {each.value[name] for each in pair} == {alone.value[name]}
    for name in ("train_loss", "eval_loss", "eval_accuracy", "perplexity", "eval_masked_tokens"):
        for each in pair:
            assert each.value[name] == pytest.approx(alone.value[name], rel=KERNELS), name
    states = [state_of(tmp_path / name) for name in ("one", "two")]
    assert states[0]["global_step"] == states[1]["global_step"] == 6
    assert furthest(tmp_path / "one", tmp_path / "two") < SUMS
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert files[0] == files[1]


def test_a_signal_in_one_stops_both_after_the_same_step(home, tmp_path):
    words = words_for(home, tmp_path / "out", per_device_train_batch_size=4)
    first, second = launch(2, work.run_mlm_with, words, 3, 1, signal.SIGTERM)
    assert (first.error, second.error) == ("TrainingInterrupted", "TrainingInterrupted")
    assert "Stopped by SIGTERM: the checkpoint of step 3 is in" in first.message
    assert [path.name for path in (tmp_path / "out").glob("check*")] == ["checkpoint-3"]


def test_an_error_of_the_first_ends_both(home, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    first, second = launch(2, work.run_mlm_with, words_for(home, tmp_path))
    assert first.error == "OutputExistsError"
    assert second.error == "OtherProcessError"
    assert second.message.startswith("process 0: The output folder")


def test_nothing_outlives_a_run(home, tmp_path):
    """Device, precision, determinism and threads of one run are not those of the next."""
    before = ProcessState.current()
    ProcessState(before.environment, before.torch_settings, ({}, {}, {})).install()
    try:
        run(words_for(home, tmp_path / "out", "--bf16", "--full_determinism", max_steps=1))
        after = ProcessState.current()
    finally:
        before.install()
    assert (after.environment, after.torch_settings) == (before.environment, before.torch_settings)
    assert after.shared == ({}, {}, {})
