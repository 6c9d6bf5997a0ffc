"""Training in two processes: the same as in one, and one end for all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import processes_at_work as work
from launching import launch
from mixed_stores import make_stores
from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.training.report.documents import SUMMARY_FILE
from stopped_trainings import furthest
from tolerances import LOGGED, SUMS
from toy import SCRATCH, make_blocks, sentences

# 71 blocks to train on and 27 to measure on: in the last batch of all, one process has a block and
# the other has none.
ONE = {"per_device_train_batch_size": 20, "per_device_eval_batch_size": 26}
TWO = {
    "per_device_train_batch_size": 5,
    "gradient_accumulation_steps": 2,
    "per_device_eval_batch_size": 13,
}


def values(ended):
    assert [each.status for each in ended] == [0] * len(ended), ended
    return [each.value for each in ended]


def test_two_processes_train_what_one_does(toy_blocks, tmp_path):
    """The same blocks, masks, losses, weights and figures; nothing padded, repeated or dropped."""
    options = work.WITHOUT_DROPOUT | {"num_train_epochs": 2, "logging_steps": 1}
    options["max_eval_samples"] = work.MEASURED
    alone = work.train_on(toy_blocks, tmp_path / "one", options | ONE)
    pair = values(launch(2, work.train_on, toy_blocks, tmp_path / "two", options | TWO))
    assert len(alone[1]) == 8
    for found in pair:
        assert found[0] == pytest.approx(alone[0], rel=SUMS)
        assert found[1] == pytest.approx(alone[1], abs=LOGGED)  # the log has four digits
        for mine, theirs in zip(found[2:], alone[2:], strict=True):
            for name in ("loss", "perplexity", "top1", "top5", "masked_tokens", "blocks"):
                assert mine[name] == pytest.approx(theirs[name], rel=SUMS)
    assert furthest(tmp_path / "one", tmp_path / "two") < SUMS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_packed_documents_are_trained_on_as_in_one_process(tmp_path):
    """Each document counts once, whichever process has its row; attention stays inside it."""
    blocks = make_blocks(tmp_path, count=120, block_size=32, packing="none")
    options = work.WITHOUT_DROPOUT | {"num_train_epochs": 2, "logging_steps": 1}
    options |= {"pack_documents": True, "per_device_eval_batch_size": 4}
    rows = {"per_device_train_batch_size": 8}
    alone = work.train_on(blocks, tmp_path / "one", options | rows)
    rows = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    pair = values(launch(2, work.train_on, blocks, tmp_path / "two", options | rows))
    assert len(alone[1]) > 4
    for found in pair:
        assert found[0] == pytest.approx(alone[0], rel=SUMS)
        assert found[1] == pytest.approx(alone[1], abs=LOGGED)  # the log has four digits
        assert found[3]["loss"] == pytest.approx(alone[3]["loss"], rel=SUMS)
    assert furthest(tmp_path / "one", tmp_path / "two") < SUMS


def test_a_mixture_is_trained_and_measured_on_as_in_one_process(tmp_path):
    """The same blocks of the same stores, and each store's figures over all processes."""
    folders = make_stores(tmp_path)
    mixture = Mixture([folders["large"], folders["small"]], [0.5, 0.5])
    options = work.WITHOUT_DROPOUT | {"max_steps": 8, "logging_steps": 1}
    # In the last batch of an evaluation, one process has a block and the other has none.
    measured = sum(map(len, mixture.tests.values()))
    options["per_device_eval_batch_size"] = (measured - 1) // 2
    rows = {"per_device_train_batch_size": 8}
    alone = work.train_on(mixture, tmp_path / "one", options | rows)
    rows = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    pair = values(launch(2, work.train_on, mixture, tmp_path / "two", options | rows))
    for found in pair:
        assert found[1] == pytest.approx(alone[1], abs=LOGGED)  # the log has four digits
        for name in ("large", "small"):
            mine, theirs = (each[3]["sources"][name] for each in (found, alone))
            assert mine["loss"] == pytest.approx(theirs["loss"], rel=SUMS)
            assert mine["masked_tokens"] == theirs["masked_tokens"]
    assert furthest(tmp_path / "one", tmp_path / "two") < SUMS


def test_streamed_text_is_trained_and_measured_on_as_in_one_process(tmp_path):
    """Each split has a folder of its own; the other process opens the blocks of the first."""
    (tmp_path / "data").mkdir()
    for split, count in (("train", 90), ("validation", 12)):
        lines = [json.dumps({"text": text}) + "\n" for text in sentences(count, seed=count)]
        (tmp_path / "data" / f"{split}.jsonl").write_text("".join(lines))
    train_tokenizer(sentences(60), tmp_path / "tokenizer", vocab_size=300)
    options = work.WITHOUT_DROPOUT | {
        "dataset_name": str(tmp_path / "data"),
        "streaming": True,
        "tokenizer_name": str(tmp_path / "tokenizer"),
        "max_seq_length": 16,
        "max_steps": 4,
        "logging_steps": 1,
    }
    one, two = ({"cache_dir": str(tmp_path / f"cache {name}")} for name in ("one", "two"))
    alone = work.train_on(None, tmp_path / "one", options | ONE | one)
    pair = values(launch(2, work.train_on, None, tmp_path / "two", options | TWO | two))
    assert alone[2]["blocks"] < 20  # of the validation split
    for found in pair:
        assert found[0] == pytest.approx(alone[0], rel=SUMS)
        assert found[1] == pytest.approx(alone[1], abs=LOGGED)  # the log has four digits
        for mine, theirs in zip(found[2:], alone[2:], strict=True):
            for name in ("loss", "masked_tokens", "blocks"):
                assert mine[name] == pytest.approx(theirs[name], rel=SUMS)
    cards = [json.loads((tmp_path / name / SUMMARY_FILE).read_text()) for name in ("one", "two")]
    for name in ("epochs", "steps"):
        assert cards[0][name] == cards[1][name]
    assert cards[0]["epochs"] < 1
    folders = [list(tmp_path.glob(f"cache {name}/mlmfast/blocks/*")) for name in ("one", "two")]
    assert len(folders[0]) == 2
    assert sorted(path.name for path in folders[0]) == sorted(path.name for path in folders[1])


def test_processes_with_other_blocks_at_the_same_path_do_not_begin(toy_blocks, tmp_path):
    """As where every machine has a copy of its own, of which one is older."""
    found = launch(2, work.train_on_own_copy, toy_blocks, tmp_path, work.WITHOUT_DROPOUT | TWO)
    assert all(each.status for each in found)
    told = [each.message for each in found]
    assert any("Process 1 found other blocks" in message for message in told), told
    assert not (tmp_path / "out").exists()


def test_a_script_of_ones_own_with_the_trainer(toy_blocks, tmp_path):
    given = {"num_train_epochs": 1, "learning_rate": 1e-3}
    alone = work.own_script(toy_blocks, tmp_path / "one", given | ONE)
    pair = values(launch(2, work.own_script, toy_blocks, tmp_path / "two", given | TWO))
    for losses, figures in pair:
        assert losses == pytest.approx(alone[0], abs=LOGGED)
        assert figures == pytest.approx(alone[1], rel=SUMS)
    assert furthest(tmp_path / "one", tmp_path / "two") < SUMS


def test_no_mask_anywhere_is_a_loss_of_zero(toy_blocks, tmp_path):
    options = work.WITHOUT_DROPOUT | TWO | {"max_steps": 2, "eval_strategy": "no"}
    pair = values(launch(2, work.without_masks, toy_blocks, tmp_path / "out", options))
    assert pair == [(0.0, True)] * 2


def test_a_process_that_dies_loses_nothing_but_the_steps_since_the_checkpoint(toy_blocks, tmp_path):
    """With dropout, whose generators each process has for itself."""
    options = SCRATCH | TWO | {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 2}
    values(launch(2, work.train_on, toy_blocks, tmp_path / "whole", options))
    killed = launch(2, work.train_and_die, toy_blocks, tmp_path / "cut", options, 5, 1)
    assert killed[1].status == -9
    assert killed[0].status not in (0, None)
    assert not (tmp_path / "cut").exists()
    resumed = options | {"resume_from_checkpoint": True}
    values(launch(2, work.train_on, toy_blocks, tmp_path / "cut", resumed))
    assert furthest(tmp_path / "whole", tmp_path / "cut") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "whole"]


def test_ctrl_c_in_one_stops_all_after_the_same_step(toy_blocks, tmp_path):
    options = SCRATCH | TWO | {"num_train_epochs": 2}
    args = (toy_blocks, tmp_path / "out", options, 3, 1, signal.SIGINT)
    first, second = launch(2, work.train_and_die, *args)
    assert (first.error, second.error) == ("TrainingInterrupted", "TrainingInterrupted")
    assert "the checkpoint of step 3 is in" in first.message
    found = [path.name for path in (tmp_path / "out.partial").glob("checkpoint-*")]
    assert found == ["checkpoint-3"]


def test_a_loss_that_is_no_number_ends_all_at_the_same_step(toy_blocks, tmp_path):
    options = SCRATCH | TWO | {"eval_strategy": "no"}
    found = launch(2, work.train_poisoned, toy_blocks, tmp_path / "out", options, 2)
    assert [each.error for each in found] == ["NonFiniteLossError"] * 2
    assert all(each.message.startswith("Step 3 ") for each in found)
    assert "batch_size=10, accumulated=2" in found[0].message


def test_an_error_of_the_first_ends_all(toy_blocks, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    first, second = launch(2, work.train_on, toy_blocks, tmp_path / "out", SCRATCH)
    assert (first.error, second.error) == ("OutputExistsError", "OtherProcessError")
    assert second.message == f"process 0: {first.message}"


def test_an_error_of_another_ends_all(toy_blocks, tmp_path):
    first, second = launch(2, work.fail_in_process, toy_blocks, tmp_path / "out", SCRATCH, 1)
    assert (first.error, second.error) == ("OtherProcessError", "InputError")
    assert "process 1: this process has another model" in first.message
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads by name: Linux only")
@pytest.mark.skipif(torch.__version__ < "2.7", reason="this torch does not name gloo's threads")
def test_who_leaves_has_no_thread_of_the_exchange_left(toy_blocks, tmp_path):
    """One that lets go of a tensor while the interpreter ends would end the process by SIGABRT."""
    options = SCRATCH | {"max_steps": 1, "eval_strategy": "no"}
    found = values(launch(2, work.train_and_leave, toy_blocks, tmp_path / "out", options))
    for before, after in found:
        assert any("gloo" in name for name in before)
        assert not any("gloo" in name for name in after)


def test_torchrun_from_text_to_the_model(tmp_path):
    """The first process prepares the text and answers; a mistake is told once."""
    text = tmp_path / "text.txt"
    text.write_text("\n".join(sentences(60)) + "\n")
    train_tokenizer(sentences(60), tmp_path / "tokenizer", vocab_size=300)
    shape = ",".join(f"{name}={value}" for name, value in work.STILL.items())
    flags = f"--from-scratch --model-type roberta --config-overrides {shape} --use-cpu --json"
    texts = f"--tokenizer-name {tmp_path / 'tokenizer'} --max-seq-length 16 --max-steps 2"
    texts += " --precision fp32"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command += ["-m", "mlmfast", "train", str(text), "--output", str(tmp_path / "out")]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *flags.split(), *texts.split()],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 2
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert len(list((tmp_path / "cache" / "mlmfast" / "blocks").iterdir())) == 1
