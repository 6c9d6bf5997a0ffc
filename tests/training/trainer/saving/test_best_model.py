"""The figure that chooses the best model."""

from __future__ import annotations

import pytest

from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError
from mlmfast.training.train import train
from mlmfast.training.trainer.saving.best_model import choose_best_metric
from toy import SCRATCH

BEST = {"load_best_model_at_end": True, "save_strategy": "epoch"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metric_for_best_model": "accuracy"}, "loss, perplexity, top1, top5, bits_per_byte"),
        ({"metric_for_best_model": "train_loss"}, "is 'train_loss'; an evaluation gives"),
        ({"metric_for_best_model": "loss", "eval_strategy": "no"}, "nothing is measured"),
        (BEST | {"eval_strategy": "no"}, "load_best_model_at_end is True, but nothing is measured"),
        ({"save_strategy": "best"}, "'best' needs metric_for_best_model"),
    ],
)
def test_a_wrong_metric_is_said_before_the_training(toy_blocks, tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        train(toy_blocks, output=tmp_path / "out", **SCRATCH, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("metric", "greater"),
    [("loss", False), ("eval_perplexity", False), ("bits_per_byte", False), ("top1", True)],
)
def test_the_better_direction_is_the_metrics_own(toy_blocks, metric, greater):
    """The Trainer takes the highest perplexity for the best."""
    store = open_splits(toy_blocks)["test"]
    given = {"metric_for_best_model": metric}
    assert choose_best_metric(given, store) == {"greater_is_better": greater}
    assert choose_best_metric(given | {"greater_is_better": not greater}, store) == {}


def test_the_model_with_the_least_perplexity_is_the_best(toy_blocks, tmp_path):
    options = SCRATCH | BEST | {"num_train_epochs": 2, "metric_for_best_model": "perplexity"}
    found = train(toy_blocks, output=tmp_path / "out", keep_checkpoints=True, **options)
    assert found.after.perplexity < found.before.perplexity
    assert (tmp_path / "out" / f"checkpoint-{found.steps}").is_dir()
