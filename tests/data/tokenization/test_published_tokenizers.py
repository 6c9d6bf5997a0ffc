"""Published tokenizers: the ids are the library's, and the core makes them.

These tokenizers lie in the repository, so nothing here is ever skipped. The tests of each family
add the texts that are hard for it; test_tokenizers_compat.py adds other versions of the library.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoding import assert_equal_ids
from mlmfast.data.tokenization.encoder import TextEncoder
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.verification.edges.corpus import hard_texts
from published import (
    FAMILIES,
    FOLDER,
    PUBLISHED,
    languages,
    published_folder,
    published_tokenizer,
    python_texts,
)

every_tokenizer = pytest.mark.parametrize("name", PUBLISHED)


@cache
def encoder(name: str, *, special: bool = False) -> TextEncoder:
    return TextEncoder(load_tokenizer(published_folder(name)), add_special_tokens=special)


def assert_encoded_as_by_the_library(name: str, texts: list[str], *, special: bool = False) -> None:
    ours = encoder(name, special=special).encode(pa.array(texts, pa.large_string())).to_pylist()
    for text, ids in zip(texts, ours, strict=True):
        expected = published_tokenizer(name).encode(text, add_special_tokens=special).ids
        assert ids == expected, text


@every_tokenizer
def test_the_file_is_the_one_of_its_notice(name):
    content = (published_folder(name) / "tokenizer.json").read_bytes()
    notice = (FOLDER / name / "NOTICE").read_text("utf-8")
    assert re.search(r"\b[0-9a-f]{64}\b", notice).group() == hashlib.sha256(content).hexdigest()
    assert (FOLDER / name / "LICENSE").stat().st_size > 1000


@every_tokenizer
def test_the_core_is_proven_for_it(name):
    ready = encoder(name)
    assert (ready.engine, ready.reason) == (FAMILIES[name], None)


@every_tokenizer
def test_the_core_encodes_ordinary_text_without_the_library(name):
    texts = [*languages(), "\n".join(languages()), *python_texts()]
    assert_equal_ids(published_tokenizer(name), texts, nothing_pending=True)


@every_tokenizer
def test_every_text_has_the_librarys_ids_with_special_tokens(name):
    texts = [*languages(), *python_texts(), *hard_texts()]
    assert_encoded_as_by_the_library(name, texts, special=True)


@every_tokenizer
@pytest.mark.hypothesis
@settings(max_examples=50)
@given(
    parts=st.lists(
        st.one_of(
            st.text(max_size=40),
            st.text("aeiou tnsrDLé.,'-  \n日はがé\u0301\u0600👩\u200d<>[]", max_size=40),
            st.sampled_from(languages()),
            st.sampled_from(["<mask>", "[MASK]", "</s>", "[SEP]", "<extra_id_0>", " ", "\r\n"]),
        ),
        max_size=6,
    )
)
def test_any_text_has_the_librarys_ids(name, parts):
    assert_encoded_as_by_the_library(name, ["".join(parts), " ".join(parts)])
