"""Going on after a kill at any moment; checkpoints that are whole or not there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

import processes_at_work as work
from launching import launch
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.train import train
from mlmfast.training.trainer.saving.checkpoints import (
    FILES_FILE,
    complete_checkpoints,
    is_complete,
)
from toy import SCRATCH

OPTIONS = SCRATCH | {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 12,  # six steps an epoch
    "save_strategy": "steps",
    "save_steps": 2,
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def whole(toy_blocks, tmp_path_factory):
    """A training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    return train(toy_blocks, output=folder, **OPTIONS)


def same_weights(one, other):
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def names(folder):
    return sorted(path.name for path in folder.glob("*checkpoint-*"))


@pytest.mark.parametrize("step", [3, 6, 7])
def test_a_kill_between_checkpoints_changes_no_bit(whole, toy_blocks, tmp_path, step):
    """In an epoch, at its end before the checkpoint is written, and in the next."""
    (killed,) = launch(1, work.train_and_die, toy_blocks, tmp_path / "out", OPTIONS, step)
    assert killed.status == -9
    found = train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=True, **OPTIONS)
    assert same_weights(whole.output, tmp_path / "out")
    assert found.after.loss == whole.after.loss
    # As in the Trainer, this is a mean over the steps, and a resume counts those of its own run.
    assert found.train_loss == pytest.approx(whole.train_loss, rel=0.1)
    assert found.before.loss == whole.before.loss


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(whole, toy_blocks, tmp_path):
    output = tmp_path / "out"
    (killed,) = launch(1, work.die_while_writing, toy_blocks, output, OPTIONS, 8)
    assert killed.status == -9
    assert names(tmp_path / "out.partial") == [".checkpoint-8.partial", "checkpoint-6"]
    train(toy_blocks, output=output, resume_from_checkpoint=True, keep_checkpoints=True, **OPTIONS)
    assert same_weights(whole.output, output)
    assert names(output) == ["checkpoint-12"]


def test_a_torn_checkpoint_is_not_the_latest(whole, toy_blocks, tmp_path):
    options = OPTIONS | {"save_total_limit": 3}
    launch(1, work.train_and_die, toy_blocks, tmp_path / "out", options, 7)
    left = tmp_path / "out.partial"
    torn = left / "checkpoint-6" / "optimizer.pt"
    os.truncate(torn, torn.stat().st_size // 2)
    assert [path.name for path in complete_checkpoints(left)] == ["checkpoint-2", "checkpoint-4"]
    with pytest.raises(InputError, match="is torn"):
        train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=torn.parent, **options)
    train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=True, **options)
    assert same_weights(whole.output, tmp_path / "out")


def test_a_resume_reads_no_block_of_an_earlier_step(toy_blocks, tmp_path, monkeypatch):
    from mlmfast.training.datasets import MaskedBlocks

    launch(1, work.train_and_die, toy_blocks, tmp_path / "out", OPTIONS, 5)
    read = []
    fill = MaskedBlocks.__getitems__

    def reads(self, indices):
        read.append(list(indices))
        return fill(self, indices)

    monkeypatch.setattr(MaskedBlocks, "__getitems__", reads)
    options = OPTIONS | {"num_train_epochs": 1}
    train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=True, **options)
    count = len(open_splits(toy_blocks)["train"])
    assert sum(map(len, read)) == count - 4 * 12  # the checkpoint of step 4


def test_other_numbers_of_blocks_a_step_are_refused(toy_blocks, tmp_path):
    launch(1, work.train_and_die, toy_blocks, tmp_path / "out", OPTIONS, 3)
    again = OPTIONS | {"resume_from_checkpoint": True}
    with pytest.raises(InputError, match=r"another blocks_a_step.*checkpoint-2 is kept"):
        train(toy_blocks, output=tmp_path / "out", **again | {"per_device_train_batch_size": 8})
    halves = {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 2}
    assert train(toy_blocks, output=tmp_path / "out", **again | halves).steps == 12


def test_weights_alone_are_no_checkpoint_to_go_on_from(toy_blocks, tmp_path):
    options = OPTIONS | {"save_only_model": True}
    launch(1, work.train_and_die, toy_blocks, tmp_path / "out", options, 3)
    with pytest.raises(InputError, match="weights only"):
        train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=True, **options)


@pytest.mark.parametrize(("limit", "kept"), [(1, 2), (2, 2), (3, 3)])
def test_so_many_checkpoints_are_kept_the_best_and_the_last_among_them(
    toy_blocks, tmp_path, limit, kept
):
    seen = []

    class Counts(transformers.TrainerCallback):
        def on_save(self, args, state, _control, **_kwargs):
            seen.append(names(Path(args.output_dir)))
            assert state.best_model_checkpoint in map(
                str, complete_checkpoints(Path(args.output_dir))
            )

    train(
        toy_blocks,
        output=tmp_path / "out",
        callbacks=[Counts()],
        **OPTIONS
        | {
            "eval_strategy": "steps",
            "eval_steps": 2,
            "save_total_limit": limit,
            "load_best_model_at_end": True,
            "metric_for_best_model": "loss",
            "greater_is_better": True,  # the first is the best, and stays
        },
    )
    assert len(seen) == 6
    assert all("checkpoint-2" in found for found in seen)
    assert [len(found) for found in seen] == [min(step, kept) for step in range(1, 7)]
    assert "checkpoint-12" in seen[-1]


def test_what_is_in_a_checkpoint_is_listed(toy_blocks, tmp_path):
    options = OPTIONS | {"max_steps": 2, "eval_strategy": "no"}
    train(toy_blocks, output=tmp_path / "out", keep_checkpoints=True, **options)
    folder = tmp_path / "out" / "checkpoint-2"
    listed = json.loads((folder / FILES_FILE).read_text())["files"]
    needed = {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"}
    assert needed | {"trainer_state.json"} <= listed.keys()
    assert is_complete(folder)
    (folder / "rng_state.pth").unlink()
    assert not is_complete(folder)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1.5 MB: room for one checkpoint of 0.5 MB in the making, not for three."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        shutil.which("mount")
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        ).returncode
    )
    if not mounted:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


def test_a_full_disk_leaves_the_last_good_checkpoint(whole, toy_blocks, small_disk):
    options = OPTIONS | {"save_total_limit": 10}
    with pytest.raises(InputError, match=r"disk .* is full.*checkpoint-\d is kept") as raised:
        train(toy_blocks, output=small_disk / "out", **options)
    assert "--resume-from-checkpoint" in str(raised.value)
    left = small_disk / "out.partial"
    assert not list(left.glob(".*"))
    found = complete_checkpoints(left)
    assert [path.name for path in found] == names(left)
    for path in found[:-1]:
        shutil.rmtree(path)
    again = options | {"save_total_limit": 1, "resume_from_checkpoint": True}
    train(toy_blocks, output=small_disk / "out", **again)
    assert same_weights(whole.output, small_disk / "out")


@pytest.mark.parametrize("file", ["optimizer.pt", "trainer_state.json"])
def test_a_disk_that_is_full_for_one_file_is_told_as_the_checkpoint_tells_it(
    whole, toy_blocks, tmp_path, monkeypatch, file
):
    """Whoever writes it, and however the output around it words a full disk."""
    save, state = torch.save, transformers.TrainerState.save_to_json

    def fails(path):
        if "checkpoint-4" in str(path) and str(path).endswith(file):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def saves(what, path, *args, **kwargs):
        fails(path)
        save(what, path, *args, **kwargs)

    def saves_state(self, path):
        fails(path)
        state(self, path)

    monkeypatch.setattr(torch, "save", saves)
    monkeypatch.setattr(transformers.TrainerState, "save_to_json", saves_state)
    with pytest.raises(InputError, match=r"bytes of checkpoint-4.*checkpoint-2 is kept") as raised:
        train(toy_blocks, output=tmp_path / "out", **OPTIONS)
    assert "left behind" not in str(raised.value)
    assert names(tmp_path / "out.partial") == ["checkpoint-2"]
    monkeypatch.undo()
    train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint="auto", **OPTIONS)
    assert same_weights(whole.output, tmp_path / "out")


@pytest.mark.parametrize("saved", [True, False])
def test_a_disk_that_is_full_for_the_finished_model(toy_blocks, tmp_path, monkeypatch, saved):
    """What is there is told; where nothing is, nothing is left."""
    from mlmfast.training.trainer.mlm_trainer import MLMTrainer

    writes = MLMTrainer.save_model

    def fails(self, folder=None, *args, **kwargs):
        if "checkpoint" not in str(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        writes(self, folder, *args, **kwargs)

    monkeypatch.setattr(MLMTrainer, "save_model", fails)
    options = OPTIONS | {"max_steps": 2, "save_strategy": "steps" if saved else "no"}
    with pytest.raises(InputError, match="is full: no finished model could be written") as raised:
        train(toy_blocks, output=tmp_path / "out", **options)
    assert ("checkpoint-2 is kept" in str(raised.value)) is saved
    assert [path.name for path in tmp_path.iterdir()] == (["out.partial"] if saved else [])


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(toy_blocks, tmp_path):
    launch(1, work.train_and_die, toy_blocks, tmp_path / "out", OPTIONS, 1)
    with pytest.raises(NotFoundError, match="no checkpoint"):
        train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=True, **OPTIONS)
    assert train(toy_blocks, output=tmp_path / "out", **OPTIONS | {"max_steps": 1}).steps == 1
