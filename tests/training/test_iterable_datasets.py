"""MLMTrainer on an IterableDataset, whose batches accelerate cuts into rows before anybody else."""

from __future__ import annotations

import numpy as np
import pytest

import processes_at_work as work
from launching import launch
from stopped_trainings import furthest
from tolerances import KERNELS, LAYERS, SUMS


@pytest.fixture(scope="module")
def theirs(toy_blocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("theirs")
    (found,) = launch(1, work.on_a_stream, toy_blocks, folder, "theirs", 8)
    assert found.status == 0, found
    return *found.value, folder


@pytest.mark.parametrize("cutting", [{}, {"dispatch_batches": True}, {"dispatch_batches": False}])
def test_losses_and_weights_are_the_trainers(theirs, toy_blocks, tmp_path, cutting):
    given = {"accelerator_config": cutting}
    losses, measured = work.on_a_stream(toy_blocks, tmp_path, "ours", 8, **given)
    assert losses == pytest.approx(theirs[0], abs=KERNELS)
    if cutting.get("dispatch_batches", True):  # else the Trainer weighs the last batch otherwise
        assert measured == pytest.approx(theirs[1], abs=LAYERS)
    # Products of another number of rows are summed in another order.
    assert furthest(tmp_path, theirs[2]) < SUMS


@pytest.mark.parametrize("split", [False, True])
def test_two_processes_train_what_one_does(theirs, toy_blocks, tmp_path, split):
    given = {"accelerator_config": {"split_batches": split}}
    pair = launch(2, _on_a_stream, toy_blocks, tmp_path, 8 if split else 4, given)
    assert [each.status for each in pair] == [0, 0], pair
    both = np.mean([each.value[0] for each in pair], axis=0)
    assert both == pytest.approx(theirs[0], abs=KERNELS)
    assert furthest(tmp_path, theirs[2]) < SUMS


def _on_a_stream(blocks, folder, batch, given):
    return work.on_a_stream(blocks, folder, "ours", batch, **given)
