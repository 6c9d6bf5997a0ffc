"""The models of a server: how they are opened."""

from __future__ import annotations

import pytest

from mlmfast.errors import InputError
from mlmfast.serving.engine import engine
from mlmfast.serving.http.registry import ModelRegistry
from mlmfast.serving.http.settings import ModelSource, ServeSettings
from mlmfast.serving.http.telemetry.metrics import Metrics


def test_cuda_graphs_without_a_gpu_are_no_model(tiny_model):
    source = ModelSource("one", tiny_model("bert").onnx)
    settings = ServeSettings((source,), device="cpu", cuda_graphs=True)
    with pytest.raises(InputError, match="cuda_graphs are for an NVIDIA GPU"):
        ModelRegistry(settings, 1, Metrics()).load()


@pytest.mark.parametrize(
    ("given", "idle", "spins"),
    [("auto", True, True), ("auto", False, False), ("on", False, True), ("off", True, False)],
)
def test_spinning(tiny_model, monkeypatch, given, idle, spins):
    opened = []

    def note(graph, options, real=engine.open_session):
        opened.append(options.spinning)
        return real(graph, options)

    monkeypatch.setattr(engine, "open_session", note)
    monkeypatch.setattr(engine, "may_spin", lambda: idle)
    source = ModelSource("one", tiny_model("bert").onnx)
    settings = ServeSettings((source,), device="cpu", spinning=given)
    registry = ModelRegistry(settings, 2, Metrics())
    registry.load()
    try:
        assert opened[0] is spins
    finally:
        registry.abandon()
