"""Requests that ask much: few of their questions are in the queue at a time, and in turns."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from mlmfast.serving.engine.batching import BatchRules
from mlmfast.serving.scheduler.multi_step import MultiStepQueue
from mlmfast.serving.scheduler.queue import RequestQueue
from mlmfast.serving.scheduler.request import MultiStepState

steps = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=9), min_size=1, max_size=4)


class Request:
    """A request of several steps, each the lengths of its masked texts."""

    def __init__(self, sizes):
        def of():
            for step in sizes:
                yield [SimpleNamespace(ids=range(size)) for size in step]

        self.work = MultiStepState(of(), sum(map(len, sizes)), masks=[], tokens=0)
        self.masked_texts = self.work.go_on([])
        self.left = len(self.masked_texts)


def lengths_of(entries):
    return [len(entry.masked_text.ids) for entry in entries]


@given(st.lists(steps, min_size=1, max_size=5), st.integers(1, 200), st.integers(1, 100))
def test_every_masked_text_once_and_never_more_than_there_is_room(requests, room, budget):
    waiting = RequestQueue()
    backlog = MultiStepQueue(waiting, room=room, most=1_000_000)
    steps_of_all = requests
    requests = [Request(sizes) for sizes in steps_of_all]
    for request in requests:
        assert backlog.takes(request)
        backlog.add(request)
    assert backlog.passes == sum(len(step) for sizes in steps_of_all for step in sizes)
    asked = []
    while len(waiting):
        assert waiting.tokens < room + 60  # one masked text may lie across the bound
        entries = waiting.take(BatchRules(budget))
        asked += lengths_of(entries)
        backlog.were_run(entries)
        for entry in entries:
            request = entry.request
            request.left -= 1
            if not request.left:
                request.masked_texts = request.work.go_on(request.masked_texts)
                request.left = len(request.masked_texts)
                if request.left:
                    backlog.add(request)
                else:
                    backlog.remove(request)
    assert sorted(asked) == sorted(n for sizes in steps_of_all for step in sizes for n in step)
    assert backlog.passes == 0


def test_the_short_one_does_not_wait_for_the_long_one():
    waiting = RequestQueue()
    backlog = MultiStepQueue(waiting, room=10, most=1_000_000)
    long, short = Request([[10] * 100]), Request([[10] * 3])
    for request in (long, short):
        assert backlog.takes(request)
        backlog.add(request)
    order = []
    while len(waiting):
        (entry,) = waiting.take(BatchRules(10))
        order.append(entry.request)
        backlog.were_run([entry])
    assert order[:8].count(short) == 3


def test_who_leaves_makes_room_and_frees_what_was_booked():
    waiting = RequestQueue()
    backlog = MultiStepQueue(waiting, room=20, most=120)
    first, second = Request([[10] * 100]), Request([[5] * 100])
    assert backlog.takes(first)
    backlog.add(first)
    assert not backlog.takes(second)
    assert "need up to 100 passes" in backlog.refusal
    waiting.remove(first)
    backlog.remove(first)
    assert len(waiting) == 0
    assert backlog.takes(second)
    backlog.add(second)
    assert waiting.tokens == 20


def test_one_alone_is_taken_however_much_it_asks():
    backlog = MultiStepQueue(RequestQueue(), room=20, most=1)
    assert backlog.takes(Request([[10] * 100]))
