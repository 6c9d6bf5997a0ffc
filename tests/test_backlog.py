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


class Ticket:
    """A request of several steps, each the lengths of its questions."""

    def __init__(self, sizes):
        def of():
            for step in sizes:
                yield [SimpleNamespace(ids=range(size)) for size in step]

        self.work = MultiStepState(of(), sum(map(len, sizes)), masks=[], tokens=0)
        self.questions = self.work.go_on([])
        self.left = len(self.questions)


def lengths_of(places):
    return [len(place.question.ids) for place in places]


@given(st.lists(steps, min_size=1, max_size=5), st.integers(1, 200), st.integers(1, 100))
def test_every_question_once_and_never_more_than_there_is_room(requests, room, budget):
    waiting = RequestQueue()
    backlog = MultiStepQueue(waiting, room=room, most=1_000_000)
    tickets = [Ticket(sizes) for sizes in requests]
    for ticket in tickets:
        assert backlog.takes(ticket)
        backlog.add(ticket)
    assert backlog.passes == sum(len(step) for sizes in requests for step in sizes)
    asked = []
    while len(waiting):
        assert waiting.tokens < room + 60  # one question may lie across the bound
        places = waiting.take(BatchRules(budget))
        asked += lengths_of(places)
        backlog.were_run(places)
        for place in places:
            ticket = place.ticket
            ticket.left -= 1
            if not ticket.left:
                ticket.questions = ticket.work.go_on(ticket.questions)
                ticket.left = len(ticket.questions)
                if ticket.left:
                    backlog.add(ticket)
                else:
                    backlog.remove(ticket)
    assert sorted(asked) == sorted(n for sizes in requests for step in sizes for n in step)
    assert backlog.passes == 0


def test_the_short_one_does_not_wait_for_the_long_one():
    waiting = RequestQueue()
    backlog = MultiStepQueue(waiting, room=10, most=1_000_000)
    long, short = Ticket([[10] * 100]), Ticket([[10] * 3])
    for ticket in (long, short):
        assert backlog.takes(ticket)
        backlog.add(ticket)
    order = []
    while len(waiting):
        (place,) = waiting.take(BatchRules(10))
        order.append(place.ticket)
        backlog.were_run([place])
    assert order[:8].count(short) == 3


def test_who_leaves_makes_room_and_frees_what_was_booked():
    waiting = RequestQueue()
    backlog = MultiStepQueue(waiting, room=20, most=120)
    first, second = Ticket([[10] * 100]), Ticket([[5] * 100])
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
    assert backlog.takes(Ticket([[10] * 100]))
