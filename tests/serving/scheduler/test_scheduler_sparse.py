"""Sparse vectors in the queue: batches of their own, options of their own, queries without any."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from mlmfast import FillMask, SparseEncoder
from mlmfast.errors import MlmfastError
from mlmfast.exporting.export import export
from mlmfast.serving.engine.model import open_model
from mlmfast.serving.scheduler.queue import AnswerTooLargeError, QueueLimits
from mlmfast.serving.scheduler.scheduler import Scheduler
from mlmfast.serving.tasks.fill_mask import fill_mask_task
from mlmfast.serving.tasks.sparse import sparse_task
from scheduling import PATIENCE, Observer
from sparse_models import save_router
from tolerances import KERNELS

BOTH = ("fill-mask", "sparse")
TEXTS = ["paris is the capital of france", "berlin is a city in germany", "a galaxy"]
MASKED = "paris is the [MASK] of france"


@pytest.fixture
def start(tiny_sparse):
    """A function that opens a model and its scheduler."""
    started = []

    def start(folder=None, observer=None, limits=None, **options):
        model = open_model(folder or tiny_sparse("bert").onnx, device="cpu", tasks=BOTH, **options)
        started.append(Scheduler(model, limits or QueueLimits(max_delay=0.2), observer))
        return started[-1], model

    yield start
    for scheduler in started:
        scheduler.close()


def hold(monkeypatch, engine):
    """Hold back the batches of an engine until the event that this returns is set."""
    gate, run = threading.Event(), engine.graph.run_texts

    def held(*arguments):
        assert gate.wait(PATIENCE)
        return run(*arguments)

    monkeypatch.setattr(engine.graph, "run_texts", held)
    return gate


@pytest.mark.parametrize("threads", [1, 2])
def test_both_tasks_share_the_queue_and_no_batch(start, tiny_sparse, monkeypatch, threads):
    observer = Observer()
    scheduler, model = start(observer=observer, threads=threads)
    gates = [hold(monkeypatch, engine) for engine in model.engines.values()]
    encoder = SparseEncoder(tiny_sparse("bert").onnx, device="cpu")
    fill_mask = FillMask(tiny_sparse("bert").onnx, device="cpu")
    options = [{}, {"top_k": 2}, {"threshold": 0.5}, {"special_tokens": True}]
    requests = []
    for number in range(24):
        if number % 2:
            requests.append(scheduler.submit([MASKED], fill_mask_task(model, 3)))
        else:
            task = sparse_task(model, **options[number // 2 % 4])
            requests.append(scheduler.submit(TEXTS, task))
    for gate in gates:
        gate.set()
    for number, request in enumerate(requests):
        found = request.future.result(PATIENCE)
        if number % 2:
            assert [row["token"] for row in found.answers[0]] == [
                row["token"] for row in fill_mask(MASKED, top_k=3)
            ]
            assert found.masks == [1]
            continue
        expected = encoder(TEXTS, returns="arrow", **options[number // 2 % 4]).to_pylist()
        for vector, words in zip(found.answers, expected, strict=True):
            assert vector.ids.tolist() == words["ids"]
            np.testing.assert_allclose(vector.weights, words["weights"], rtol=KERNELS)
        assert found.masks == [0, 0, 0]
    # Texts of both were run, several at a time.
    assert sum(report.texts for report in observer.batches) == 12 + 12 * 3
    assert max(report.texts for report in observer.batches) > 3


def test_queries_of_a_table_need_no_batch(start, tiny_model, tmp_path):
    weights = np.random.default_rng(0).uniform(0.1, 5, 150).astype(np.float32)
    save_router(tiny_model("bert").checkpoint, tmp_path / "router", weights)
    export(tmp_path / "router", tmp_path / "onnx", task="sparse")
    observer = Observer()
    scheduler, model = start(tmp_path / "onnx", observer)
    found = scheduler.submit(TEXTS, sparse_task(model, "query", top_k=3)).future.result(PATIENCE)
    expected = SparseEncoder(tmp_path / "onnx").encode_query(TEXTS, top_k=3, returns="arrow")
    assert [vector.ids.tolist() for vector in found.answers] == [
        words["ids"] for words in expected.to_pylist()
    ]
    assert observer.batches == []
    assert scheduler.texts == 0


def test_an_answer_that_is_too_large_is_refused(start):
    scheduler, model = start(limits=QueueLimits(max_answer_bytes=200))
    with pytest.raises(AnswerTooLargeError, match="ask for a smaller top_k"):
        scheduler.submit(TEXTS, sparse_task(model)).future.result(PATIENCE)
    assert scheduler.submit(TEXTS, sparse_task(model, top_k=1)).future.result(PATIENCE)


def test_one_text_that_fails_fails_no_other(start, monkeypatch):
    scheduler, model = start()
    graph = model.sparse.graph
    run = graph.run_texts

    def fails(session, texts, *more):
        if any(len(text.ids) > 9 for text in texts):
            raise MlmfastError("broken")
        return run(session, texts, *more)

    monkeypatch.setattr(graph, "run_texts", fails)
    long, short = "paris is the capital of france and berlin is", "a galaxy"
    requests = [scheduler.submit([text], sparse_task(model)) for text in (long, short)]
    with pytest.raises(MlmfastError, match="broken"):
        requests[0].future.result(PATIENCE)
    assert len(requests[1].future.result(PATIENCE).answers[0])
