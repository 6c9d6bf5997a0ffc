"""Which requests a scheduler accepts, and when a refused client should come again."""

from __future__ import annotations

import pytest

from mlmfast.serving.scheduler import admission
from mlmfast.serving.scheduler.admission import AdmissionControl
from mlmfast.serving.scheduler.queue import QueueFullError, QueueLimits
from mlmfast.serving.scheduler.request import InferenceRequest
from mlmfast.serving.scheduler.share import Share


def request(*texts: str, client: str = "") -> InferenceRequest:
    return InferenceRequest(texts, task=None, share=Share(client))


def test_texts_in_hand_are_bounded_and_make_room_again():
    control = AdmissionControl(QueueLimits(max_texts=3))
    first = request("a", "b")
    control.admit(first)
    with pytest.raises(QueueFullError, match="2 texts in hand, and takes at most 3"):
        control.admit(request("c", "d"))
    control.admit(request("c"))
    assert control.texts == 3
    control.release(first)
    control.admit(request("d", "e"))
    assert control.texts == 3


def test_a_single_request_is_accepted_whatever_its_size():
    control = AdmissionControl(QueueLimits(max_texts=1))
    control.admit(request("a", "b", "c"))
    with pytest.raises(QueueFullError):
        control.admit(request("d"))


def test_who_fills_the_queue_does_not_lock_out_others():
    control = AdmissionControl(QueueLimits(max_texts=8))
    full = request(*"abcdefgh", client="one")
    control.admit(full)
    with pytest.raises(QueueFullError):
        control.admit(request("i", client="one"))
    control.admit(request("i", client="two"))
    with pytest.raises(QueueFullError):  # more than half of the queue
        control.admit(request(*"jklm", client="two"))
    control.admit(request("j", client="three"))
    with pytest.raises(QueueFullError):  # the reserve is bounded too
        control.admit(request("k", client="four"))
    control.release(full)
    control.admit(request(*"klmno", client="two"))


def test_characters_in_hand_are_bounded(monkeypatch):
    monkeypatch.setattr(admission, "MAX_CHARACTERS", 10)
    control = AdmissionControl(QueueLimits())
    control.admit(request("123456"))
    with pytest.raises(QueueFullError):
        control.admit(request("12345"))
    control.admit(request("1234"))


def test_the_time_to_come_again_follows_the_time_of_a_text():
    control = AdmissionControl(QueueLimits())
    assert control.retry_after(1000) == 1
    for _ in range(50):
        control.observe(0.01)
    assert control.retry_after(1000) == 10
    assert control.retry_after(1_000_000) == 60
