"""The thread that works ahead."""

from __future__ import annotations

import threading

import pytest

from mlmfast.runtime.prefetch import Prefetcher
from our_threads import our_threads


def test_results_come_in_order_and_end():
    batches = Prefetcher(lambda number: number * 2, range(100), 3)
    assert list(batches) == [number * 2 for number in range(100)]
    assert list(batches) == []


def test_it_works_ahead_so_far_and_no_further():
    made, third = [], threading.Event()

    def make(number):
        made.append(number)
        if number == 2:
            third.set()
        return number

    batches = Prefetcher(make, range(100), 3)
    assert third.wait(300), "three results are made before anyone asks"
    assert next(batches) == 0
    batches.close()
    assert made in ([0, 1, 2], [0, 1, 2, 3])


def test_an_error_comes_where_the_result_would_have():
    def make(number):
        if number == 2:
            raise KeyboardInterrupt
        return number

    batches = Prefetcher(make, range(5), 4)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(KeyboardInterrupt):
        next(batches)
    assert list(batches) == []


def test_the_reader_makes_the_next_one_while_it_waits():
    helped, makers = threading.Event(), {}

    def make(number):
        makers[number] = threading.current_thread()
        if number == 1:
            helped.set()
        else:
            assert helped.wait(300), "the other thread makes number 1 meanwhile"
        return number

    batches = Prefetcher(make, range(2), 2)
    assert list(batches) == [0, 1]
    assert len(set(makers.values())) == 2


def test_an_error_while_helping_keeps_its_place():
    helped = threading.Event()

    def make(number):
        if number == 1:
            helped.set()
            raise ValueError("number 1")
        assert helped.wait(300)
        return number

    batches = Prefetcher(make, range(5), 2)
    assert next(batches) == 0
    with pytest.raises(ValueError, match="number 1"):
        next(batches)
    assert list(batches) == []


def test_an_interrupt_while_helping_comes_at_once():
    begun = threading.Event()

    def make(number):
        if threading.current_thread() is threading.main_thread():
            begun.set()
            raise KeyboardInterrupt
        assert begun.wait(300)
        return number

    before = our_threads()
    batches = Prefetcher(make, iter(int, 1), 2)
    with pytest.raises(KeyboardInterrupt):
        list(batches)
    assert our_threads() <= before
    assert list(batches) == []


def test_closing_ends_the_thread_and_the_results():
    before = our_threads()
    batches = Prefetcher(lambda number: number, iter(int, 1), 2)  # without end
    assert next(batches) == 0
    batches.close()
    assert our_threads() <= before
    assert list(batches) == []
    batches.close()


def test_closing_from_another_thread_wakes_a_waiting_reader():
    made = threading.Event()

    def make(number):
        made.wait(300)
        return number

    batches = Prefetcher(make, range(5), 1)
    found = []
    reader = threading.Thread(target=lambda: found.extend(batches))
    reader.start()
    closer = threading.Thread(target=batches.close)
    closer.start()
    made.set()
    reader.join(60)
    closer.join(60)
    assert not reader.is_alive()
    assert not closer.is_alive()
