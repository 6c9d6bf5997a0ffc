"""Fixtures of the tests of scheduling: a scheduler to be closed, and batches that are held back."""

from __future__ import annotations

import threading

import pytest

from mlmfast.errors import MlmfastError
from mlmfast.serving.engine.model import open_model
from mlmfast.serving.scheduler.queue import QueueLimits
from mlmfast.serving.scheduler.scheduler import Scheduler
from onnx_folder import fill_mask, onnx  # noqa: F401 (fixtures)
from tolerances import KERNELS, LAYERS

PATIENCE = 300
TEXTS = [
    "paris is the <mask> of france",
    "the <mask> way is a spiral <mask> that contains our solar system",
    "it does not <mask>",
    "a <mask> galaxy , and berlin is a city in germany " * 2,
]


class Observer:
    """Remembers what a scheduler reports."""

    def __init__(self):
        self.batches, self.waits = [], []

    def on_batch(self, report):
        self.batches.append(report)

    def on_request_started(self, queue_seconds):
        self.waits.append(queue_seconds)


def fail_at(monkeypatch, model, masks, message):
    """Let a model fail in every batch that has a text of so many masks."""
    run = model.engine.graph.run

    def fails(session, batch):
        if masks in batch.counts:
            raise MlmfastError(message)
        return run(session, batch)

    monkeypatch.setattr(model.engine.graph, "run", fails)


class Gate(threading.Event):
    """Holds every batch back until it is set; `reached` tells that one waits there."""

    def __init__(self):
        super().__init__()
        self.reached = threading.Event()

    def pass_through(self):
        self.reached.set()
        assert self.wait(PATIENCE)


@pytest.fixture
def gate(monkeypatch):
    """The `Gate` before the engine."""
    from mlmfast.serving.engine.engine import Engine

    gate, run_batch = Gate(), Engine.run_batch

    def held(*arguments):
        gate.pass_through()
        return run_batch(*arguments)

    monkeypatch.setattr(Engine, "run_batch", held)
    yield gate
    gate.set()


@pytest.fixture
def begin(onnx):
    """Return a function that begins a scheduler, which is closed after the test."""
    begun = []

    def scheduler(observer=None, threads=2, batching="shared", **limits):
        model = open_model(onnx, device="cpu", threads=threads, batching=batching)
        begun.append(Scheduler(model, QueueLimits(**limits), observer))
        return begun[-1], model

    yield scheduler
    for one in begun:
        one.close()


def close_to(found, expected):
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close_to, found, expected))
    near = abs(found["score"] - expected["score"]) < KERNELS
    return near and {**found, "score": 0} == {**expected, "score": 0}


def near(found, expected):
    """Whether answers are equal, numbers to the rounding of another batch."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            near(found[name], expected[name]) for name in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(near, found, expected))
    if isinstance(expected, float):
        return found == pytest.approx(expected, rel=LAYERS, abs=1e-7)
    return found == expected
