"""Trainings and evaluations on block stores at URLs, on an S3 server of this machine."""

from __future__ import annotations

import pytest

from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.train import train
from s3_server import s3, s3_server  # noqa: F401 - fixtures
from stopped_trainings import same_weights
from toy import SCRATCH


@pytest.fixture
def url(s3, toy_blocks, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for path in toy_blocks.rglob("*"):
        if path.is_file():
            s3.put(f"blocks/{path.relative_to(toy_blocks)}", path.read_bytes())
    return f"{s3.url}/blocks"


@pytest.mark.parametrize("downloads", [True, False])
def test_a_training_is_that_on_the_disk_through_broken_connections(
    url, s3, toy_blocks, tmp_path, monkeypatch, downloads
):
    if not downloads:  # as where the cache has no room
        name = "mlmfast.data.store.remote.shards.RemoteShards._download"
        monkeypatch.setattr(name, lambda _self: None)
    options = SCRATCH | {"max_steps": 6, "eval_strategy": "no"}
    train(toy_blocks, output=tmp_path / "here", **options)
    s3.proxy.cut(after=30_000, times=3)
    there = train(url, output=tmp_path / "there", **options)
    assert same_weights(tmp_path / "here", tmp_path / "there")
    found = evaluate(there.output, url, device="cpu")
    assert found.loss == evaluate(there.output, toy_blocks, device="cpu").loss
