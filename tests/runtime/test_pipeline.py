from __future__ import annotations

import threading

import pytest

from mlmfast.runtime.pipeline import ThreadedPipeline


def threads_of_ours():
    return [thread for thread in threading.enumerate() if thread.name.startswith("mlmfast-stage")]


def test_results_come_in_order_from_several_threads():
    gate = threading.Event()

    def square(number):
        if number == 0:
            gate.wait(300)  # all others are done before the first
        elif number == 3:
            gate.set()
        return number * number

    with ThreadedPipeline() as overlap:
        squares = overlap.map(square, range(50), threads=4, depth=8)
        assert list(overlap.prefetch(squares, depth=2)) == [number**2 for number in range(50)]
    assert threads_of_ours() == []


def test_a_stage_runs_ahead_but_not_further_than_it_may():
    drawn = []
    reached = threading.Event()

    def numbers():
        for number in range(100):
            drawn.append(number)
            if number == 3:
                reached.set()
            yield number

    with ThreadedPipeline() as overlap:
        results = overlap.prefetch(numbers(), depth=3)
        assert reached.wait(300)
        assert len(drawn) == 4  # three wait in the queue, one for room in it
        assert next(results) == 0
    assert len(drawn) <= 6
    assert threads_of_ours() == []


@pytest.mark.parametrize("fault", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("stage", ["read", "map", "next", "user"])
def test_what_a_stage_raises_comes_out_in_its_place_and_ends_all(stage, fault):
    closed = []

    def read():
        try:
            for number in range(1000):
                if stage == "read" and number == 20:
                    raise fault
                yield number
        finally:
            closed.append(threading.current_thread().name)

    def double(number):
        if stage == "map" and number == 20:
            raise fault
        return 2 * number

    def follow(items):
        for item in items:
            if stage == "next" and item == 40:
                raise fault
            yield item

    seen = []

    def run():
        with ThreadedPipeline() as overlap:
            doubled = overlap.map(double, read(), threads=2, depth=4)
            for item in overlap.prefetch(follow(doubled), depth=4):
                if stage == "user" and item == 40:
                    raise fault
                seen.append(item)

    with pytest.raises(type(fault)) as caught:
        run()
    assert caught.value is fault
    assert seen == list(range(0, 40, 2))
    assert threads_of_ours() == []
    # A generator is closed by the thread that draws it, so that files are too.
    assert len(closed) == 1


def test_leaving_early_ends_the_threads():
    with ThreadedPipeline() as overlap:
        for item in overlap.prefetch(iter(int, 1), depth=2):
            assert item == 0
            break
    assert threads_of_ours() == []
