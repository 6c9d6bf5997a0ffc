"""Ids are those of the `tokenizers` that is installed, whichever version that is.

`make test-tokenizers-next` runs this file with a version that can only encode; the tokenizers to
test were written by the usual one then.
"""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmfast.data.tokenization.encoder import TextEncoder
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.verification.edges.corpus import hard_texts
from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.tokenizers_compat import require_trainable_tokenizers
from places import SHARED, shared
from published import FAMILIES as PUBLISHED_FAMILIES
from published import PUBLISHED, languages, published_folder, python_texts
from write_tokenizers import FAMILIES, write_tokenizers

WRITTEN = os.environ.get("MLMFAST_TEST_TOKENIZERS")
VARIANTS = ("bpe", "bpe-nfc", "wordpiece", "wordpiece-lower", "unigram", "unigram-old")
REAL = (
    "bert-base-cased",
    "bert-base-multilingual-cased",
    "bert-base-uncased",
    "modernbert-base",
    "roberta-base",
    "t5-small",
    "xlm-roberta-base",
    "xlnet-base-cased",
)
ALPHABET = st.characters(exclude_categories=["Cs"])
COMMON = st.sampled_from("aeiou tnsrDLé.,'-  \n日はがé\u0301\u0600👩\u200d<>[]")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    if WRITTEN:
        return Path(WRITTEN)
    folder = tmp_path_factory.mktemp("tokenizers")
    write_tokenizers(folder)
    return folder


@cache
def opened(file: Path) -> tuple:
    """The encoder, and the library's own tokenizer, with the name of its call for one text."""
    from tokenizers import Tokenizer

    plain = Tokenizer.from_file(str(file))
    if hasattr(plain, "no_truncation"):
        plain.no_truncation()
        plain.no_padding()
    else:
        plain.truncation = plain.padding = None
    return TextEncoder(load_tokenizer(file), threads=1), plain


def assert_equal_ids(file: Path, texts: list[str]) -> TextEncoder:
    encoder, plain = opened(file)
    found = encoder.encode(pa.array(texts, pa.large_string())).to_pylist()
    for text, ids in zip(texts, found, strict=True):
        assert ids == plain.encode(text, add_special_tokens=False).ids, text
    return encoder


@pytest.mark.parametrize("variant", VARIANTS)
def test_hard_texts(written, variant):
    encoder = assert_equal_ids(written / variant / "tokenizer.json", hard_texts())
    if WRITTEN:
        assert encoder.engine == FAMILIES[variant.split("-")[0]], encoder.reason


@pytest.mark.parametrize("variant", VARIANTS)
@settings(deadline=None, max_examples=60)
@given(texts=st.lists(st.text(st.one_of(COMMON, ALPHABET), max_size=40), max_size=20))
def test_any_text(written, variant, texts):
    assert_equal_ids(written / variant / "tokenizer.json", texts)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tokenizers(name):
    texts = [*hard_texts(), *languages(), *python_texts()]
    encoder = assert_equal_ids(published_folder(name) / "tokenizer.json", texts)
    assert encoder.engine == PUBLISHED_FAMILIES[name], encoder.reason


@pytest.mark.parametrize("name", REAL)
def test_real_tokenizers_and_texts(name):
    file = shared("tokenizers", name, "tokenizer.json")
    if not WRITTEN:
        pytest.skip("the usual version is compared with real texts by the tests of each family")
    encoder = assert_equal_ids(file, [*hard_texts(), *real_texts()])
    assert encoder.engine in FAMILIES.values(), encoder.reason


def test_vocabulary_and_roles_are_the_files(written):
    for variant in VARIANTS:
        loaded = load_tokenizer(written / variant)
        tokenizer = loaded.tokenizer
        ids = tokenizer.get_vocab(with_added_tokens=True)
        assert sorted(ids.values()) == list(range(loaded.vocab_size))
        assert set(tokenizer.get_vocab(with_added_tokens=False)) <= set(ids)
        assert loaded.mask_token_id == ids[loaded.tokens["mask_token"]]
        assert tokenizer.token_to_id("no such token") is None
        assert "truncation" in tokenizer.to_str()


def test_special_tokens_go_around_a_text(written):
    loaded = load_tokenizer(written / "bpe")
    encoder = TextEncoder(loaded, add_special_tokens=True)
    first, *_, last = encoder.encode(pa.array(["a b"]))[0].as_py()
    ids = loaded.tokenizer.get_vocab()
    assert (first, last) == (ids["<s>"], ids["</s>"])


def test_what_is_no_tokenizer_is_refused(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text('{"version": "1.0"}', "utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        load_tokenizer(file)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_librarys_second_form(written, variant, tmp_path):
    plain = opened(written / variant / "tokenizer.json")[1]
    file = tmp_path / "tokenizer.json"
    if hasattr(plain, "to_str"):
        file.write_text(json.dumps({**json.loads(plain.to_str()), "version": "2.0"}), "utf-8")
        with pytest.raises(InputError, match=r"form 2\.0, .* reads form 1\.0"):
            load_tokenizer(file)
        return
    _, (content, *_) = plain.__reduce__()
    assert json.loads(content)["version"] == "2.0"
    file.write_text(content, "utf-8")
    encoder = assert_equal_ids(file, hard_texts())
    assert encoder.engine == FAMILIES[variant.split("-")[0]], encoder.reason


def test_a_library_that_only_encodes_says_what_to_install(written, monkeypatch):
    import tokenizers

    loaded = load_tokenizer(written / "bpe")
    need = pytest.raises(MissingDependencyError, match="tokenizers<1")
    monkeypatch.delattr(tokenizers, "AddedToken", raising=False)
    with need:
        require_trainable_tokenizers("Training a tokenizer")
    if not hasattr(type(loaded.tokenizer), "from_buffer"):
        plain = opened(written / "bpe" / "tokenizer.json")[1]
        with pytest.raises(InputError, match=r"tokenizer\.json"):
            load_tokenizer(plain)


@cache
def real_texts() -> list[str]:
    """Some of every kind of real text; what is long is cut, as the checks need every kind."""
    text = SHARED / "text"
    with gzip.open(text / "books" / "books_en_48m.txt.gz", "rt", newline="") as file:
        found = file.read(400_000).split("\r\n\r\n")
    found += (text / "multilingual" / "wagahai.ja.txt").read_text("utf-8")[:60_000].split("\n")
    found += (text / "dirty" / "blns.txt").read_text("utf-8").split("\n")
    for dirty in (text / "dirty").glob("utf8*"):
        points = dirty.read_bytes().decode(errors="replace")
        found += [points[at : at + 500] for at in range(0, len(points), 500)]
    with zipfile.ZipFile(text / "multilingual" / "udhr2.zip") as files:
        for name in sorted(files.namelist()):
            if name.endswith(".txt"):
                found.append(files.read(name).decode(errors="ignore")[:1500])
    return found
