"""Tokenizers that the tests of the collator share."""

from __future__ import annotations

import pytest

from tiny_tokenizers import bert_tokenizer, roberta_tokenizer


@pytest.fixture(scope="module", params=[bert_tokenizer, roberta_tokenizer])
def tokenizer(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("tokenizer"))
