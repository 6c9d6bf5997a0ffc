"""The thread that works ahead."""

from __future__ import annotations

import threading

import pytest

from mlmfast.data.prefetch import Prefetcher


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
    assert third.wait(60), "three results are made before anyone asks"
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


def test_closing_ends_the_thread_and_the_results():
    before = threading.active_count()
    batches = Prefetcher(lambda number: number, iter(int, 1), 2)  # without end
    assert next(batches) == 0
    batches.close()
    assert threading.active_count() == before
    assert list(batches) == []
    batches.close()


def test_closing_from_another_thread_wakes_a_waiting_reader():
    made = threading.Event()

    def make(number):
        made.wait(60)
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
