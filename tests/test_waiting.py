"""The queue of a scheduler: every question once, the oldest first, like lengths together."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from mlmfast.serving.engine.batching import BatchRules
from mlmfast.serving.scheduler.queue import RequestQueue

lengths = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=4), max_size=30)
rules = st.builds(BatchRules, st.integers(1, 300), st.booleans(), st.booleans())


def ticket_of(sizes, arrived=0):
    questions = [SimpleNamespace(ids=range(size)) for size in sizes]
    return SimpleNamespace(questions=questions, arrived=arrived)


def taken_of(waiting, rule):
    batches = []
    while len(waiting):
        batches.append([(id(place.ticket), place.number) for place in waiting.take(rule)])
    return batches


@given(lengths, rules)
def test_every_question_once_and_within_the_rules(sizes, rule):
    waiting = RequestQueue()
    tickets = [ticket_of(each) for each in sizes]
    for ticket in tickets:
        waiting.add(ticket)
    assert waiting.tokens == sum(map(sum, sizes))
    size = {(id(t), n): len(q.ids) for t in tickets for n, q in enumerate(t.questions)}
    batches = taken_of(waiting, rule)
    assert sorted(one for batch in batches for one in batch) == sorted(size)
    assert waiting.tokens == 0
    assert waiting.oldest is None
    for batch in batches:
        in_batch = [size[one] for one in batch]
        assert len(batch) == 1 or len(batch) * max(in_batch) <= rule.budget
        assert rule.padding or len(set(in_batch)) == 1
        assert not rule.alone or len(batch) == 1


@given(lengths, rules)
def test_the_oldest_is_in_every_batch(sizes, rule):
    waiting = RequestQueue()
    left = []
    for number, each in enumerate(sizes):
        ticket = ticket_of(each, arrived=number)
        waiting.add(ticket)
        left += [(ticket, place) for place in range(len(each))]
    while len(waiting):
        assert waiting.oldest == left[0][0].arrived
        taken = [(place.ticket, place.number) for place in waiting.take(rule)]
        assert left[0] in taken
        left = [one for one in left if one not in taken]


@given(lengths, rules, st.data())
def test_who_goes_is_never_taken(sizes, rule, data):
    waiting = RequestQueue()
    tickets = [ticket_of(each) for each in sizes]
    for ticket in tickets:
        waiting.add(ticket)
    for ticket in tickets:
        if data.draw(st.booleans()):
            waiting.remove(ticket)
            tickets = [other for other in tickets if other is not ticket]
    expected = sorted((id(t), n) for t in tickets for n in range(len(t.questions)))
    assert sorted(one for batch in taken_of(waiting, rule) for one in batch) == expected


def test_neighbours_in_length_share_a_batch():
    waiting = RequestQueue()
    for size in (30, 5, 29, 6, 31, 50):
        waiting.add(ticket_of([size]))
    batch = waiting.take(BatchRules(93))
    assert sorted(len(place.ticket.questions[place.number].ids) for place in batch) == [29, 30, 31]
