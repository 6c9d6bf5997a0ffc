"""The two averages beside plain computations, apart from any training."""

from __future__ import annotations

import pytest
import torch

from mlmfast.errors import InputError
from mlmfast.training.trainer.averaging.ema import ExponentialAverage
from mlmfast.training.trainer.averaging.last import MeanOfLast


def path_of(steps, dtype=torch.float32):
    """Weights of a random walk."""
    torch.manual_seed(0)
    walk = torch.randn(steps, 3, 5).cumsum(0)
    return [{"a": each[0].to(dtype), "b": each[1:].to(dtype)} for each in walk]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_moving_average_is_that_of_the_formula(dtype):
    path, decay = path_of(20, dtype), 0.9
    average = ExponentialAverage(decay)
    assert average.describe(0, False) is None
    for weights in path:
        average.after_step(weights)
    for name, found in average.average({}, 20, False).items():
        expected = path[0][name].double()
        for weights in path[1:]:
            expected = decay * expected + (1 - decay) * weights[name].double()
        assert found.dtype == torch.float32
        # Weights in bf16 are exact in float32: an average in bf16 would be 1000 times further off.
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_small_changes_of_bf16_weights_add_up():
    """(1 - decay) times a change is far below what bf16 can add to a weight."""
    average = ExponentialAverage(0.999)
    average.after_step({"a": torch.ones(2, dtype=torch.bfloat16)})
    for _ in range(1000):
        average.after_step({"a": torch.full((2,), 1.0078125, dtype=torch.bfloat16)})
    moved = average.average({}, 0, False)["a"] - 1
    torch.testing.assert_close(
        moved, torch.full((2,), 0.0078125 * (1 - 0.999**1000)), rtol=1e-3, atol=0
    )


def test_a_saved_moving_average_goes_on_to_the_same_bits(tmp_path):
    path = path_of(12)
    whole, first, second = (ExponentialAverage(0.8) for _ in range(3))
    for weights in path:
        whole.after_step(weights)
    for weights in path[:7]:
        first.after_step(weights)
    first.save(tmp_path, path[6], 7, False)
    second.load(tmp_path, path[6])
    for weights in path[7:]:
        second.after_step(weights)
    for name, found in second.average({}, 12, False).items():
        assert torch.equal(found, whole.average({}, 12, False)[name])
    second.load(None, path[0])
    assert second.describe(0, False) is None


def test_the_mean_is_that_of_the_last_saved_weights(tmp_path):
    path = path_of(6, torch.bfloat16)
    mean = MeanOfLast(3, tmp_path / "home")
    assert mean.describe(1, False) is None
    for step, weights in enumerate(path):
        if step:
            known = path[max(step - 2, 0) : step + 1]
            for name, found in mean.average(weights, step, True).items():
                expected = torch.stack([each[name].double() for each in known]).mean(0)
                torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
        (tmp_path / f"{step}").mkdir()
        mean.save(tmp_path / f"{step}", weights, step, True)
    assert mean.describe(5, True) == "the mean of the weights at steps 3, 4, 5"
    files = {"step-3.safetensors", "step-4.safetensors", "step-5.safetensors"}
    for folder in ("home", "5"):
        assert {file.name for file in (tmp_path / folder).iterdir()} == files


def test_a_checkpoint_of_an_interrupt_does_not_count_and_links_the_others(tmp_path):
    path = path_of(4)
    mean = MeanOfLast(2, tmp_path / "home")
    for step, due in ((1, True), (2, True), (3, False)):
        (tmp_path / f"{step}").mkdir()
        mean.save(tmp_path / f"{step}", path[step], step, due)
    kept = tmp_path / "3" / "step-2.safetensors"
    assert kept.stat().st_ino == (tmp_path / "2" / "step-2.safetensors").stat().st_ino
    again = MeanOfLast(2, tmp_path / "elsewhere")
    again.load(tmp_path / "3", path[3])
    assert again.describe(3, False) == "the mean of the weights at steps 1, 2"
    for name, found in again.average(path[3], 3, False).items():
        assert torch.equal(found, (path[1][name] + path[2][name]) / 2)
    with pytest.raises(InputError, match="other weights"):
        again.average({"a": path[3]["a"]}, 3, False)


def test_without_hard_links_the_files_are_copied(tmp_path, monkeypatch):
    def refuses(*_):
        raise OSError

    monkeypatch.setattr("os.link", refuses)
    mean = MeanOfLast(2, tmp_path / "home")
    (tmp_path / "1").mkdir()
    weights = path_of(1)[0]
    mean.save(tmp_path / "1", weights, 1, True)
    mean.load(tmp_path / "1", weights)
    assert torch.equal(mean.average({**weights}, 2, False)["a"], weights["a"])
