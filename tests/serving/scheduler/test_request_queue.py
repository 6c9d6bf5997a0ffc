"""The queue of a scheduler: every question once, in turn, like lengths together."""

from __future__ import annotations

import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from mlmfast.serving.engine.batching import BatchRules
from mlmfast.serving.scheduler.queue import RequestQueue
from mlmfast.serving.scheduler.request import InferenceRequest
from mlmfast.serving.scheduler.share import Share

lengths = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=4), max_size=30)
rules = st.builds(BatchRules, st.integers(1, 300), st.booleans(), st.booleans())


def request_of(sizes, arrived=0, client="", weight=1.0):
    request = InferenceRequest([], None, Share(client, weight), arrived=arrived)
    request.set_masked_texts([SimpleNamespace(ids=range(size)) for size in sizes])
    return request


def taken_of(queue, rule, large=math.inf):
    batches = []
    while len(queue):
        batches.append([(id(entry.request), entry.index) for entry in queue.pop_batch(rule, large)])
    return batches


@given(lengths, rules, st.sampled_from([math.inf, 0, 40]))
def test_every_question_once_and_within_the_rules(sizes, rule, large):
    queue = RequestQueue()
    requests = [request_of(each) for each in sizes]
    for request in requests:
        queue.add(request)
    assert queue.tokens == sum(map(sum, sizes))
    size = {(id(t), n): len(q.ids) for t in requests for n, q in enumerate(t.masked_texts)}
    batches = taken_of(queue, rule, large)
    assert sorted(one for batch in batches for one in batch) == sorted(size)
    assert queue.tokens == 0
    assert queue.oldest_arrival is None
    for batch in batches:
        in_batch = [size[one] for one in batch]
        assert len(batch) == 1 or len(batch) * max(in_batch) <= rule.budget
        assert rule.padding or len(set(in_batch)) == 1
        assert not rule.independent or len(batch) == 1


@given(lengths, rules)
def test_the_first_text_of_the_smallest_request_leads(sizes, rule):
    queue = RequestQueue()
    for number, each in enumerate(sizes):
        queue.add(request_of(each, client=str(number)))
    firsts = [(each[0], number) for number, each in enumerate(sizes)]
    if firsts:
        batch = queue.pop_batch(rule)
        length, number = min(firsts)
        assert any(e.request.share.client == str(number) and e.index == 0 for e in batch)
        assert any(len(entry.masked_text.ids) == length for entry in batch)


@given(lengths, rules, st.data())
def test_who_goes_is_never_taken(sizes, rule, data):
    queue = RequestQueue()
    requests = [request_of(each) for each in sizes]
    for request in requests:
        queue.add(request)
    for request in requests:
        if data.draw(st.booleans()):
            queue.remove(request)
            requests = [other for other in requests if other is not request]
    expected = sorted((id(t), n) for t in requests for n in range(len(t.masked_texts)))
    assert sorted(one for batch in taken_of(queue, rule) for one in batch) == expected


def test_neighbours_in_length_share_a_batch():
    queue = RequestQueue()
    for size in (29, 5, 30, 36, 31, 50):
        queue.add(request_of([size], client=str(size)))
    queue.pop_batch(BatchRules(5))  # the shortest is the first
    batch = queue.pop_batch(BatchRules(93))
    assert sorted(len(entry.request.masked_texts[entry.index].ids) for entry in batch) == [
        29,
        30,
        31,
    ]
