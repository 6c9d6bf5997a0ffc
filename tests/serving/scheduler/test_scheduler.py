"""Requests that come at any time are answered as FillMask answers them, in shared batches."""

from __future__ import annotations

import threading

import pytest

from mlmfast.errors import InputError, NoMaskError
from mlmfast.serving.scheduler.queue import (
    ClosedError,
    QueueFullError,
    TooManyRowsError,
)
from mlmfast.serving.tasks.fill_mask import fill_mask_task
from scheduling import PATIENCE, TEXTS, Observer, begin, close_to, fail_at, fill_mask, gate, onnx  # noqa: F401 (fixtures)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batching", ["shared", "independent"])
def test_requests_of_all_kinds_share_batches_and_get_their_own_answers(
    begin, fill_mask, gate, threads, batching
):
    observer = Observer()
    scheduler, model = begin(observer, threads=threads, batching=batching)
    kinds = [
        {"top_k": 1},
        {"top_k": 9},
        {"top_k": 0},
        {"targets": [" city", " way", " galaxy"], "top_k": 2},
        {"targets": [" france"]},
        {"tokenizer_kwargs": {"truncation": "around_mask", "max_length": 20}},
    ]
    asked = [(TEXTS[number % 4 :][:2], kinds[number % 6]) for number in range(48)]
    requests = [scheduler.submit(texts, fill_mask_task(model, **kind)) for texts, kind in asked]
    gate.set()
    for request, (texts, kind) in zip(requests, asked, strict=True):
        answered = request.future.result(PATIENCE)
        assert close_to(answered.answers, [fill_mask(text, **kind) for text in texts])
        assert answered.masks == [text.count("<mask>") for text in texts]
    assert sum(report.texts for report in observer.batches) == sum(len(texts) for texts, _ in asked)
    assert len(observer.waits) == len(asked)
    if batching == "shared":
        assert max(report.texts for report in observer.batches) > 2
    else:
        assert all(report.texts == 1 and not report.padding for report in observer.batches)
    assert scheduler.texts == 0


def test_a_lone_request_does_not_wait(begin):
    """With a delay of ten minutes, only who waits for others would come that late."""
    scheduler, model = begin(max_delay=600.0)
    for _ in range(3):
        answered = scheduler.submit(TEXTS[:1], fill_mask_task(model)).future.result(PATIENCE)
        assert answered.queue_seconds < 300


def test_requests_wait_for_as_many_as_there_were(begin, gate):
    """Two were in hand; so after them the third waits for a fourth, and they share a batch."""
    observer = Observer()
    scheduler, model = begin(observer, max_delay=60.0)
    requests = [scheduler.submit(TEXTS[:1], fill_mask_task(model)) for _ in range(2)]
    gate.set()
    for request in requests:
        request.future.result(PATIENCE)
    before = len(observer.batches)
    requests = [scheduler.submit(TEXTS[:1], fill_mask_task(model)) for _ in range(2)]
    for request in requests:
        request.future.result(PATIENCE)
    assert [report.texts for report in observer.batches[before:]] == [2]


def test_what_cannot_be_asked_fails_alone(begin, fill_mask, gate):
    scheduler, model = begin(max_rows=100)
    good = scheduler.submit(TEXTS[:1], fill_mask_task(model))
    failing = {
        NoMaskError: scheduler.submit(["no mask"], fill_mask_task(model)),
        TooManyRowsError: scheduler.submit(TEXTS[:1], fill_mask_task(model, 101)),
        InputError: scheduler.submit(["<mask> " + "way " * 99], fill_mask_task(model)),
    }
    second = scheduler.submit([TEXTS[0], "no mask"], fill_mask_task(model))
    gate.set()
    assert close_to(good.future.result(PATIENCE).answers, [fill_mask(TEXTS[0])])
    for kind, request in failing.items():
        assert isinstance(request.future.exception(PATIENCE), kind)
    assert str(second.future.exception(PATIENCE)).startswith('Text 2 "no mask"')
    assert scheduler.texts == 0


def test_a_text_that_fails_in_the_model_fails_alone(begin, fill_mask, gate, monkeypatch):
    scheduler, model = begin(threads=1)
    fail_at(monkeypatch, model, 9, "nine masks are too many")
    good = [scheduler.submit(TEXTS[:1], fill_mask_task(model)) for _ in range(3)]
    bad = scheduler.submit(["<mask> " * 9], fill_mask_task(model))
    gate.set()
    for request in good:
        assert close_to(request.future.result(PATIENCE).answers, [fill_mask(TEXTS[0])])
    assert "nine masks" in str(bad.future.exception(PATIENCE))


def test_a_full_queue_refuses_and_takes_again(begin, gate):
    scheduler, model = begin(max_texts=3)
    held = scheduler.submit(TEXTS[:2], fill_mask_task(model))
    with pytest.raises(QueueFullError) as caught:
        scheduler.submit(TEXTS[:2], fill_mask_task(model))
    assert caught.value.retry_after >= 1
    other = scheduler.submit(TEXTS[:1], fill_mask_task(model))
    gate.set()
    held.future.result(PATIENCE)
    other.future.result(PATIENCE)
    assert scheduler.texts == 0
    assert scheduler.submit(TEXTS[:3], fill_mask_task(model)).future.result(PATIENCE)


def test_who_is_cancelled_leaves_the_queue(begin, gate):
    observer = Observer()
    scheduler, model = begin(observer, threads=1)
    first = scheduler.submit(TEXTS[:1], fill_mask_task(model))
    assert gate.reached.wait(PATIENCE)
    gone = [scheduler.submit(TEXTS[:1], fill_mask_task(model)) for _ in range(20)]
    assert all(request.future.cancel() for request in gone)
    assert scheduler.texts == 1
    gate.set()
    first.future.result(PATIENCE)
    scheduler.submit(TEXTS[:1], fill_mask_task(model)).future.result(PATIENCE)
    assert sum(report.texts for report in observer.batches) == 2
    assert scheduler.texts == 0


def test_closing_answers_what_is_in_hand_and_takes_no_more(begin, gate):
    scheduler, model = begin()
    requests = [scheduler.submit(TEXTS[:2], fill_mask_task(model)) for _ in range(9)]
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    gate.set()
    closing.join(PATIENCE)
    assert all(request.future.result(PATIENCE) for request in requests)
    with pytest.raises(ClosedError):
        scheduler.submit(TEXTS, fill_mask_task(model))


def test_abandoning_fails_what_is_in_hand(begin, gate):
    scheduler, model = begin()
    requests = [scheduler.submit(TEXTS[:2], fill_mask_task(model)) for _ in range(9)]
    scheduler.abandon()
    assert all(isinstance(t.future.exception(PATIENCE), ClosedError) for t in requests)
    gate.set()
