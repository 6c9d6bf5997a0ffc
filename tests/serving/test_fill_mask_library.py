"""The same answers with every version of `tokenizers`.

`make test-tokenizers-next` runs this file with a version that can only encode; folders and answers
were written with the usual one then.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from write_fill_masks import KINDS, answers

WRITTEN = os.environ.get("MLMFAST_TEST_FILL_MASKS")


@pytest.mark.skipif(not WRITTEN, reason="`make test-tokenizers-next` writes what is compared")
@pytest.mark.parametrize("kind", KINDS)
def test_answers_do_not_depend_on_the_library(kind):
    folder = Path(str(WRITTEN)) / kind
    expected = json.loads((folder / "answers.json").read_text("utf-8"))
    assert answers(folder / "onnx") == expected
