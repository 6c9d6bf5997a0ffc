"""A text cut around its masks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmfast.errors import InputError
from mlmfast.serving.fill_mask import FillMask
from mlmfast.serving.text.truncation import window


@given(st.integers(2, 80), st.data())
def test_the_window_holds_every_mask_and_is_full(length, data):
    room = data.draw(st.integers(1, length - 1))
    masks = sorted(data.draw(st.sets(st.integers(0, length - 1), max_size=5)))
    if masks and masks[-1] - masks[0] >= room:
        with pytest.raises(InputError, match="tokens apart"):
            window(length, masks, room)
        return
    start, stop = window(length, masks, room)
    assert 0 <= start < stop <= length
    assert stop - start == room
    assert all(start <= mask < stop for mask in masks)
    if len(masks) == 1 and start > 0 and stop < length:
        assert abs((masks[0] - start) - (stop - 1 - masks[0])) <= 1


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_mask_of_a_long_text_stays(tiny_model, kind):
    fill_mask = FillMask(tiny_model(kind).onnx, device="cpu")
    mask, around = fill_mask.mask_token, {"truncation": "around_mask"}
    before, after = "is the " * 60, " far away" * 60
    rows = fill_mask(f"{before}{mask}{after}", tokenizer_kwargs=around)
    assert 3 < rows[0]["sequence"].count("is") < 60
    assert 3 < rows[0]["sequence"].count("far") < 60
    # A text that fits is not touched.
    short = f"is {mask} far"
    assert fill_mask(short, tokenizer_kwargs=around) == fill_mask(short)
    long = f"{mask} {'is ' * 90} {mask}"
    with pytest.raises(InputError, match=r"^The text .* is too long, and cannot be cut.*apart"):
        fill_mask(long, tokenizer_kwargs=around)
    ones = list(fill_mask.stream([short, long, short], on_error="return", tokenizer_kwargs=around))
    assert [isinstance(one, InputError) for one in ones] == [False, True, False]
    assert str(ones[1]).startswith("Text 2 ")
