"""Scores, fillings and whole targets in the queue of all: in shared batches, and in turns."""

from __future__ import annotations

import threading

import pytest

from mlmfast.serving.engine.model import open_model
from mlmfast.serving.scheduler.queue import (
    ClosedError,
    QueueFullError,
    QueueLimits,
    RequestQueue,
    TooManyPassesError,
    TooManyRowsError,
)
from mlmfast.serving.scheduler.request import InferenceRequest
from mlmfast.serving.scheduler.tokenize import tokenize_requests
from mlmfast.serving.tasks.beam_search import BeamSearchTask
from mlmfast.serving.tasks.fill_mask import fill_mask_task
from mlmfast.serving.tasks.scoring import ScoringTask
from scheduling import (  # noqa: F401 (fixtures)
    PATIENCE,
    TEXTS,
    Observer,
    begin,
    close_to,
    fail_at,
    fill_mask,
    gate,
    near,
    onnx,
)


class TestSteps:
    """Requests whose texts are answered in steps, in the same queue as everybody's."""

    WORDS = ("paris is the capital of france", "far !", "it does not contain our solar system")

    def kinds(self, model, fill_mask):
        """Yield texts, what is asked of them, and what FillMask answers."""
        masks = [text for text in TEXTS if text.count("<mask>") == 2] + ["<mask> is <mask>"]
        targets = [" galaxyparis", " city", "berlin"]
        yield masks, BeamSearchTask.checked(3, 6), fill_mask.fill(masks, top_k=3, beams=6)
        yield (
            masks[:1],
            BeamSearchTask.checked(2, order="left_to_right"),
            [fill_mask.fill(masks[0], top_k=2, order="left_to_right")],
        )
        yield self.WORDS, ScoringTask(), fill_mask.score(self.WORDS, per_token=True)
        yield (
            self.WORDS[:1],
            ScoringTask("word_l2r"),
            fill_mask.score(self.WORDS[:1], per_token=True, method="word_l2r"),
        )
        yield (
            TEXTS[:2],
            fill_mask_task(model, 2, targets, whole_targets=True),
            fill_mask(TEXTS[:2], top_k=2, targets=targets, whole_targets=True),
        )

    @pytest.mark.parametrize("threads", [1, 3])
    @pytest.mark.parametrize("batching", ["shared", "independent"])
    def test_they_share_batches_and_get_the_answers_of_fill_mask(
        self, begin, fill_mask, gate, threads, batching
    ):
        observer = Observer()
        scheduler, model = begin(observer, threads=threads, batching=batching)
        gate.set()
        kinds = list(self.kinds(model, fill_mask)) * 3
        gate.clear()
        plain = [scheduler.submit(TEXTS, fill_mask_task(model)) for _ in range(5)]
        requests = [scheduler.submit(texts, asked) for texts, asked, _ in kinds]
        gate.set()
        for request, (texts, _, expected) in zip(requests, kinds, strict=True):
            answered = request.future.result(PATIENCE)
            assert near(answered.answers, expected)
            assert answered.tokens > len(texts)
        for request in plain:
            expected = [fill_mask(text) for text in TEXTS]
            assert close_to(request.future.result(PATIENCE).answers, expected)
        if batching == "shared":
            assert max(report.texts for report in observer.batches) > len(TEXTS)
        assert scheduler.texts == 0

    def test_who_comes_later_does_not_wait_for_all_of_it(self, begin, gate, monkeypatch):
        """A thousand questions are in hand; a text that comes then is run with the next of them."""
        observer = Observer()
        scheduler, model = begin(observer, threads=1)
        long = scheduler.submit(["way " * 55] * 16, ScoringTask())
        assert gate.reached.wait(PATIENCE)
        queued, add = threading.Event(), RequestQueue.add
        monkeypatch.setattr(RequestQueue, "add", lambda *given: (add(*given), queued.set()))
        short = scheduler.submit(TEXTS[:1], fill_mask_task(model))
        told = []
        short.future.add_done_callback(lambda _: told.append((len(observer.batches), long.pending)))
        assert queued.wait(PATIENCE)
        gate.set()
        short.future.result(PATIENCE)
        long.future.result(PATIENCE)
        ((batches, left),) = told
        assert batches <= 3
        assert left > 800

    def test_who_is_cancelled_asks_no_more(self, begin, gate):
        observer = Observer()
        scheduler, model = begin(observer, threads=1)
        gone = [scheduler.submit(["way " * 55] * 16, ScoringTask())]
        assert gate.reached.wait(PATIENCE)
        gone.append(scheduler.submit(["<mask> is <mask> <mask>"], BeamSearchTask.checked(50)))
        assert all(request.future.cancel() for request in gone)
        assert scheduler.texts == 0
        gate.set()
        scheduler.submit(TEXTS[:1], fill_mask_task(model)).future.result(PATIENCE)
        # What was on the device by then, and the last text.
        assert len(observer.batches) == 2

    def test_more_passes_than_one_request_may_need(self, begin):
        scheduler, model = begin(max_passes=20)
        asked = {
            "21 passes of the model, one for each beam and mask": (
                ["<mask> is <mask> <mask>"],
                BeamSearchTask.checked(10),
            ),
            "one for each token": (["is " * 30], ScoringTask()),
            "one for each mask and each beginning": (
                ["<mask> " * 21],
                fill_mask_task(model, 1, ["berlin"], whole_targets=True),
            ),
        }
        for told, (texts, options) in asked.items():
            error = scheduler.submit(texts, options).future.exception(PATIENCE)
            assert isinstance(error, TooManyPassesError)
            assert told in str(error)
            assert "at most 20" in str(error)
        fits = scheduler.submit(["<mask> is <mask> <mask>"], BeamSearchTask.checked(9))
        assert len(fits.future.result(PATIENCE).answers[0]) == 9
        rows = scheduler.submit(["<mask>"] * 2000, BeamSearchTask.checked(6))
        assert isinstance(rows.future.exception(PATIENCE), TooManyRowsError)

    def test_more_passes_than_the_server_takes_at_once(self, begin, gate):
        scheduler, _ = begin(max_passes=60)
        taken = [scheduler.submit(["is " * 50], ScoringTask()) for _ in range(4)]
        refused = scheduler.submit(["is " * 50], ScoringTask())
        error = refused.future.exception(PATIENCE)
        assert isinstance(error, QueueFullError)
        assert "at most 240" in str(error)
        assert error.retry_after >= 1
        gate.set()
        assert all(request.future.result(PATIENCE) for request in taken)
        assert scheduler.submit(["is " * 50], ScoringTask()).future.result(PATIENCE)

    def test_each_needs_room_for_its_own_targets(self, onnx):
        """Also where both are read at once."""
        model = open_model(onnx, device="cpu")
        text = "is " * 58 + "<mask>"
        requests = [
            InferenceRequest([text], fill_mask_task(model, 1, [word], whole_targets=True))
            for word in (" galaxyparis" * 4, " city")
        ]
        for given in (requests, requests[::-1]):
            read = dict(tokenize_requests(given, model, QueueLimits()))
            assert "masks in place of one" in str(read[requests[0]])
            assert read[requests[1]] == []
            assert requests[1].multi_step is not None

    def test_closing_takes_all_steps_that_are_left(self, begin, fill_mask, gate):
        scheduler, _ = begin()
        text = "<mask> is <mask> <mask>"
        requests = [scheduler.submit([text], BeamSearchTask.checked(3)) for _ in range(9)]
        closing = threading.Thread(target=scheduler.close)
        closing.start()
        gate.set()
        closing.join(PATIENCE)
        expected = [fill_mask.fill(text, top_k=3)]
        assert all(near(request.future.result(PATIENCE).answers, expected) for request in requests)

    def test_abandoning_fails_what_is_left(self, begin, gate):
        scheduler, _ = begin()
        requests = [scheduler.submit(["way " * 55], ScoringTask()) for _ in range(3)]
        scheduler.abandon()
        assert all(isinstance(t.future.exception(PATIENCE), ClosedError) for t in requests)
        gate.set()

    def test_a_step_that_fails_in_the_model_fails_alone(self, begin, fill_mask, monkeypatch):
        scheduler, model = begin(threads=1)
        fail_at(monkeypatch, model, 2, "two masks are too many")
        bad = scheduler.submit(["<mask> is <mask> <mask>"], BeamSearchTask.checked(3))
        good = scheduler.submit(self.WORDS, ScoringTask())
        assert "two masks" in str(bad.future.exception(PATIENCE))
        expected = fill_mask.score(self.WORDS, per_token=True)
        assert near(good.future.result(PATIENCE).answers, expected)
        assert scheduler._multi_step.passes == 0
