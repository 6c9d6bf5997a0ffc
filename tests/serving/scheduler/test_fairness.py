"""Clients and requests share the batches, whatever their sizes, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import count
from types import SimpleNamespace

import pytest

from mlmfast.serving.engine.batching import BatchRules
from mlmfast.serving.scheduler.queue import RequestQueue
from mlmfast.serving.scheduler.request import InferenceRequest
from mlmfast.serving.scheduler.share import Share
from mlmfast.serving.tasks.fill_mask import fill_mask_task
from scheduling import PATIENCE, TEXTS, Observer, begin, close_to, fill_mask, gate, onnx  # noqa: F401 (fixtures)

RULES = BatchRules(160)  # ten texts
LENGTH = 16


def request_of(texts, client="", weight=1.0):
    request = InferenceRequest([], None, Share(client, weight))
    request.set_masked_texts([SimpleNamespace(ids=range(LENGTH)) for _ in range(texts)])
    return request


def served(queue, batches):
    """Pop batches; return how many texts of each client were in them."""
    entries = [entry for _ in range(batches) for entry in queue.pop_batch(RULES)]
    return Counter(entry.request.share.client for entry in entries)


@pytest.mark.parametrize("client", ["large", "lone"])
def test_a_lone_text_leads_the_next_batch_by_itself(client):
    queue = RequestQueue()
    for _ in range(4):
        queue.add(request_of(128, "large"))
    queue.pop_batch(RULES)
    lone = request_of(1, client)
    queue.add(lone)
    assert [entry.request for entry in queue.pop_batch(RULES, large=RULES.budget)] == [lone]


def test_small_requests_do_not_hold_up_a_large_one():
    """Eight clients behind one address send a text each, and anew when it is answered."""
    queue, large = RequestQueue(), request_of(128, "large")
    for _ in range(8):
        queue.add(request_of(1, "small"))
    queue.add(large)
    found = Counter()
    while found["large"] < 128:
        for entry in queue.pop_batch(RULES, large=RULES.budget):
            found[entry.request.share.client] += 1
            if entry.request is not large:
                queue.add(request_of(1, "small"))
    assert found["small"] <= 2 * 128


def test_clients_share_equally_however_many_requests_they_have():
    """Each client sends a request anew when it is answered; one of them has five at a time."""
    queue, found = RequestQueue(), Counter()
    left = {request_of(20, client): 20 for client in (*["many"] * 5, "few", "others")}
    for request in left:
        queue.add(request)
    for _ in range(120):
        for entry in queue.pop_batch(RULES):
            request = entry.request
            found[request.share.client] += 1
            left[request] -= 1
            if not left[request]:
                queue.add(another := request_of(20, request.share.client))
                left[another] = 20
    assert found.total() == 1200
    assert all(350 < texts < 450 for texts in found.values())


def test_a_class_is_a_share_and_no_precedence():
    queue = RequestQueue()
    for name, weight in (("high", 4.0), ("normal", 1.0), ("low", 0.25)):
        queue.add(request_of(400, name, weight))
    assert served(queue, 42) == {"high": 320, "normal": 80, "low": 20}


def test_a_large_request_proceeds_among_many_small_ones_of_its_client():
    """64 clients behind one proxy send a text each, and anew when it is answered."""
    queue, large = RequestQueue(), request_of(128)
    for _ in range(64):
        queue.add(request_of(1))
    queue.add(large)
    left, others = 128, 0
    while left:
        for entry in queue.pop_batch(RULES):
            if entry.request is large:
                left -= 1
            else:
                others += 1
                queue.add(request_of(1))
    # In order of arrival it would have waited for 64 others; with an equal share, for 64 * 128.
    assert others <= 5 * (64 + 128)


def test_none_is_passed_for_ever():
    queue, late = RequestQueue(), request_of(1, "low", 0.25)
    for number in range(50):
        queue.add(request_of(3, str(number), 4.0))
    queue.add(late)
    for number in count(50):
        entries = queue.pop_batch(RULES)
        if any(entry.request is late for entry in entries):
            break
        assert number < 300
        for _ in entries:
            queue.add(request_of(1, str(number), 4.0))


def test_who_leaves_takes_its_share_along():
    queue = RequestQueue()
    gone = [request_of(50, "gone") for _ in range(3)]
    for request in gone:
        queue.add(request)
    queue.add(request_of(20, "stays"))
    for request in gone:
        queue.remove(request)
    assert served(queue, 2) == {"stays": 20}
    assert not len(queue)
    assert queue.tokens == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_lone_request_does_not_wait_for_a_large_one(begin, fill_mask, gate, monkeypatch, threads):
    observer = Observer()
    scheduler, model = begin(observer, threads=threads)
    large = scheduler.submit(TEXTS[:1] * 500, fill_mask_task(model))
    assert gate.reached.wait(PATIENCE)
    queued, add = threading.Event(), RequestQueue.add
    monkeypatch.setattr(RequestQueue, "add", lambda *given: (add(*given), queued.set()))
    lone = scheduler.submit(TEXTS[:1], fill_mask_task(model), Share("lone"))
    told = []
    lone.future.add_done_callback(lambda _: told.append(large.pending))
    assert queued.wait(PATIENCE)
    gate.set()
    assert close_to(lone.future.result(PATIENCE).answers, [fill_mask(TEXTS[0])])
    assert len(large.future.result(PATIENCE).answers) == 500
    # At most the batches that ran already, and those that began beside its own.
    assert told[0] > 250
