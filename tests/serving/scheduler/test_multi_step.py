"""Requests that ask much: few of their questions are in the queue at a time, and in turns."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from mlmfast.serving.engine.batching import BatchRules
from mlmfast.serving.scheduler.multi_step import MultiStepQueue
from mlmfast.serving.scheduler.queue import RequestQueue
from mlmfast.serving.scheduler.request import InferenceRequest, MultiStepState

steps = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=9), min_size=1, max_size=4)


def request_of(sizes):
    """Make a request of several steps, each the lengths of its masked texts."""

    def steps_of():
        for step in sizes:
            yield [SimpleNamespace(ids=range(size)) for size in step]

    request = InferenceRequest([], None)
    request.multi_step = MultiStepState(steps_of(), sum(map(len, sizes)), masks=[], tokens=0)
    request.set_masked_texts(request.multi_step.next_step([]))
    return request


def lengths_of(entries):
    return [len(entry.masked_text.ids) for entry in entries]


@given(st.lists(steps, min_size=1, max_size=5), st.integers(1, 200), st.integers(1, 100))
def test_every_masked_text_once_and_never_more_than_there_is_room(requests, room, budget):
    queue = RequestQueue()
    multi_step = MultiStepQueue(queue, capacity=room, max_passes=1_000_000)
    steps_of_all = requests
    requests = [request_of(sizes) for sizes in steps_of_all]
    for request in requests:
        assert multi_step.try_admit(request)
        multi_step.add_step(request)
    assert multi_step.passes == sum(len(step) for sizes in steps_of_all for step in sizes)
    asked = []
    while len(queue):
        assert queue.tokens < room + 60  # one masked text may lie across the bound
        entries = queue.pop_batch(BatchRules(budget))
        asked += lengths_of(entries)
        multi_step.batch_done(entries)
        for entry in entries:
            request = entry.request
            request.pending -= 1
            if not request.pending:
                request.set_masked_texts(request.multi_step.next_step(request.masked_texts))
                if request.pending:
                    multi_step.add_step(request)
                else:
                    multi_step.remove(request)
    assert sorted(asked) == sorted(n for sizes in steps_of_all for step in sizes for n in step)
    assert multi_step.passes == 0


def test_the_short_one_does_not_wait_for_the_long_one():
    queue = RequestQueue()
    multi_step = MultiStepQueue(queue, capacity=10, max_passes=1_000_000)
    long, short = request_of([[10] * 100]), request_of([[10] * 3])
    for request in (long, short):
        assert multi_step.try_admit(request)
        multi_step.add_step(request)
    order = []
    while len(queue):
        (entry,) = queue.pop_batch(BatchRules(10))
        order.append(entry.request)
        multi_step.batch_done([entry])
    assert order[:8].count(short) == 3


def test_who_leaves_makes_room_and_frees_what_was_booked():
    queue = RequestQueue()
    multi_step = MultiStepQueue(queue, capacity=20, max_passes=120)
    first, second = request_of([[10] * 100]), request_of([[5] * 100])
    assert multi_step.try_admit(first)
    multi_step.add_step(first)
    assert not multi_step.try_admit(second)
    assert "need up to 100 passes" in multi_step.refusal
    queue.remove(first)
    multi_step.remove(first)
    assert len(queue) == 0
    assert multi_step.try_admit(second)
    multi_step.add_step(second)
    assert queue.tokens == 20


def test_one_alone_is_taken_however_much_it_asks():
    multi_step = MultiStepQueue(RequestQueue(), capacity=20, max_passes=1)
    assert multi_step.try_admit(request_of([[10] * 100]))
