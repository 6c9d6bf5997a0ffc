"""The ONNX folder of a tiny RoBERTa, and what `FillMask` answers with it."""

from __future__ import annotations

import pytest

from mlmfast.serving.fill_mask import FillMask


@pytest.fixture(scope="module")
def onnx(tiny_model):
    return tiny_model("roberta").onnx


@pytest.fixture(scope="module")
def fill_mask(onnx):
    return FillMask(onnx, device="cpu")
