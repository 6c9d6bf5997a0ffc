"""Streams of texts: order, memory, errors in their place, independence of neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from mlmfast.errors import InputError, MlmfastError, NoMaskError
from mlmfast.serving.fill_mask import FillMask
from mlmfast.serving.tasks.streaming import in_order


@pytest.fixture(scope="module")
def fill_mask(tiny_model):
    return FillMask(tiny_model("roberta").onnx, device="cpu", threads=2)


class Echo:
    """Answers that are their texts."""

    error = None

    def __init__(self, texts, log):
        self.texts = texts
        self.log = log

    def results(self):
        self.log.append(("answered", self.texts))
        return self.texts

    def cancel(self):
        self.log.append(("dropped", self.texts))


@pytest.mark.parametrize("read_ahead", [1, 2, 3, 7, 1000])
def test_order_and_bound(read_ahead):
    read = 0

    def source():
        nonlocal read
        for number in range(50):
            read += 1
            yield number

    firsts = []

    def begin(texts, first):
        firsts.append((first, texts[0]))
        return Echo(texts, [])

    given = 0
    for number in in_order(source(), begin, read_ahead=read_ahead):
        assert number == given
        assert read - given <= read_ahead
        given += 1
    assert given == 50
    assert all(first == text + 1 for first, text in firsts)


def test_what_ends_the_source_early_is_raised_after_the_answers_before_it():
    def source():
        yield from range(5)
        raise OSError("the disk is gone")

    answers = in_order(source(), lambda texts, _: Echo(texts, []), read_ahead=100)
    assert [next(answers) for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="gone"):
        next(answers)


def test_a_stream_that_is_left_drops_what_has_not_begun():
    log = []
    answers = in_order(range(100), lambda texts, _: Echo(texts, log), read_ahead=8)
    next(answers)
    answers.close()
    assert log == [("answered", [0, 1, 2, 3]), ("dropped", [4, 5, 6, 7])]


def test_errors_in_the_place_of_answers(fill_mask):
    texts = ["a <mask>", "none", 3, "<mask> is <mask>", "", "is " * 90 + "<mask>"]
    answers = list(fill_mask.stream(texts, on_error="return", top_k=2))
    assert [type(answer).__name__ for answer in answers] == [
        "list",
        "NoMaskError",
        "InputError",
        "list",
        "NoMaskError",
        "TooManyTokensError",
    ]
    assert answers[5].tokens > answers[5].max_tokens == 64
    assert str(answers[5]).startswith('Text 6 "is is')
    rows = fill_mask("a <mask>", top_k=2)
    assert [row["sequence"] for row in answers[0]] == [row["sequence"] for row in rows]
    told = [str(answer) for answer in answers]
    assert told[1].startswith('Text 2 "none" has no mask token')
    assert told[4].startswith("Text 5 is empty: write <mask>")
    named = fill_mask.stream(texts, on_error="return", names=lambda number: f"Line {number * 10}")
    assert str(list(named)[1]).startswith('Line 20 "none"')
    with pytest.raises(InputError, match="on_error"):
        fill_mask.stream(texts, on_error="ignore")


def test_an_error_comes_after_the_answers_of_the_texts_before_it(fill_mask):
    answers = fill_mask.stream(["a <mask>", "b <mask>", "none", "c <mask>"])
    assert len([next(answers), next(answers)]) == 2
    with pytest.raises(NoMaskError, match="Text 3"):
        next(answers)


def test_a_long_list_in_several_pieces(fill_mask, monkeypatch):
    monkeypatch.setattr("mlmfast.serving.fill_mask.CALL_READ_AHEAD", 8)
    texts = [f"{'is ' * (number % 9)}<mask> far {number}" for number in range(50)]
    together = fill_mask(texts, top_k=1)
    alone = [fill_mask(text, top_k=1) for text in texts]
    assert [rows[0]["token"] for rows in together] == [rows[0]["token"] for rows in alone]


def test_independent_answers_are_the_same_to_the_last_bit_whatever_is_beside(tiny_model):
    """On as many batches as there are cores and on one: in both sessions."""
    fill_mask = FillMask(
        tiny_model("roberta").onnx, device="cpu", threads=2, batching="independent"
    )
    text = "paris is the <mask> of france"
    alone = fill_mask(text)
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 40):
        others = ["far " * rng.integers(1, 40) + "<mask>" for _ in range(count)]
        assert fill_mask([*others, text])[-1] == alone
    with pytest.raises(InputError, match="batching"):
        FillMask(tiny_model("roberta").onnx, batching="alone")


def test_many_threads_may_share_one(fill_mask):
    from concurrent.futures import ThreadPoolExecutor

    texts = [f"{'is ' * (number % 9)}<mask>" for number in range(40)]
    expected = [fill_mask(text, top_k=1)[0]["token"] for text in texts]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: fill_mask(texts, top_k=1), range(8)))
    for answers in found:
        assert [rows[0]["token"] for rows in answers] == expected


def test_a_failure_in_a_worker_reaches_the_caller(fill_mask, monkeypatch):
    def broken(*_):
        raise MlmfastError("onnxruntime could not run a batch")

    monkeypatch.setattr(fill_mask._engine.graph, "run", broken)
    with pytest.raises(MlmfastError, match="could not run"):
        fill_mask(["is " * 50 + "<mask>"] * 40)
