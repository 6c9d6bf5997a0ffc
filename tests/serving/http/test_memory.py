"""The bytes that a server holds for clients: the bound, and who gives way where it is reached."""

from __future__ import annotations

import pytest

from mlmfast.serving.http import memory
from mlmfast.serving.http.memory import BudgetFullError, ByteBudget


@pytest.fixture
def clock(monkeypatch):
    """The time, in a list."""
    now = [100.0]
    monkeypatch.setattr(memory.time, "monotonic", lambda: now[0])
    return now


def test_what_is_held_is_counted_until_the_end():
    seen = []
    budget = ByteBudget(10, seen.append)
    with budget.hold(None) as one, budget.hold(None) as other:
        one.resize(4)
        other.resize(6)
        one.resize(2)
    assert seen == [4, 10, 8, 2, 0]


def test_no_more_than_the_bound():
    budget = ByteBudget(10, lambda _: None)
    with budget.hold(None) as one:
        one.resize(8)
        with budget.hold(None) as other, pytest.raises(BudgetFullError):
            other.resize(3)
        assert budget.used == 8
    assert budget.used == 0


def test_the_longest_stalled_client_gives_way(clock):
    dropped = []
    budget = ByteBudget(10, lambda _: None)
    first, second = (budget.hold(lambda name=name: dropped.append(name)) for name in "ab")
    first.resize(4)
    clock[0] += 0.5
    second.resize(4)
    clock[0] += 0.7
    third = budget.hold(None)
    third.resize(4)
    assert dropped == ["a"]
    assert (first.dropped, second.dropped) == (True, False)
    assert budget.used == 8
    first.resize(5)  # what it still does counts no more
    assert budget.used == 8


def test_clients_that_make_progress_are_kept(clock):
    dropped = []
    budget = ByteBudget(10, lambda _: None)
    holding = budget.hold(lambda: dropped.append(1))
    holding.resize(8)
    clock[0] += 5
    holding.progress()
    with pytest.raises(BudgetFullError):
        budget.hold(None).resize(4)
    assert dropped == []


def test_nobody_is_dropped_where_that_would_not_do(clock):
    dropped = []
    budget = ByteBudget(10, lambda _: None)
    budget.hold(lambda: dropped.append(1)).resize(2)
    budget.hold(None).resize(8)
    clock[0] += 5
    with pytest.raises(BudgetFullError):
        budget.hold(None).resize(4)
    assert dropped == []


def test_what_is_settled_depends_on_no_client(clock):
    budget = ByteBudget(10, lambda _: None)
    holding = budget.hold(lambda: pytest.fail("dropped"))
    holding.resize(8)
    holding.settle()
    clock[0] += 5
    with pytest.raises(BudgetFullError):
        budget.hold(None).resize(4)
