from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models

from corpus import documents, tiny_tokenizer
from mlmfast.data.tokenization import encoder as text_encoder
from mlmfast.data.tokenization import lazy as lazy_tokenizer
from mlmfast.data.tokenization import load as load_module
from mlmfast.data.tokenization.encoder import TextEncoder
from mlmfast.data.tokenization.lazy import LazyTokenizer
from mlmfast.data.tokenization.load import load_tokenizer


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of this test's own, for small files too."""
    tiny_tokenizer()  # opens what it trains, when it is first called
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(lazy_tokenizer, "_MIN_CACHED_BYTES", 0)
    monkeypatch.setattr(text_encoder, "_ready", type(text_encoder._ready)())
    return tmp_path / "mlmfast" / "opened"


@pytest.fixture
def folder(tmp_path):
    """A tokenizer's folder, whose file says that texts are cut and padded."""
    there = Path(tiny_tokenizer())
    tokenizer = Tokenizer.from_file(str(there / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding()
    folder = tmp_path / "cut"
    folder.mkdir()
    for file in there.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_cached_tokenizer_equals_the_opened_one(folder, monkeypatch):
    first = load_tokenizer(folder)
    assert isinstance(first.tokenizer, Tokenizer)
    expected = TextEncoder(first, add_special_tokens=True).encode(
        pa.array(documents(20), pa.large_string())
    )
    text_encoder._ready.clear()
    with monkeypatch.context() as patch:
        patch.setattr(lazy_tokenizer, "read_tokenizer", pytest.fail)
        patch.setattr(load_module, "read_tokenizer", pytest.fail)
        again = load_tokenizer(folder)
        assert isinstance(again.tokenizer, LazyTokenizer)
        known = {key: value for key, value in vars(first).items() if key != "tokenizer"}
        assert {key: getattr(again, key) for key in known} == known
        assert again.tokenizer.to_str() == first.tokenizer.to_str()
        assert again.tokenizer.token_to_id("<mask>") == first.mask_token_id
        encoder = TextEncoder(again, add_special_tokens=True)
        assert encoder.encode(pa.array(documents(20), pa.large_string())).equals(expected)
    text = "one of several words, longer than the file says"
    for late in (again.tokenizer, copy.copy(again.tokenizer)):
        assert late.encode(text).ids == first.tokenizer.encode(text).ids
    assert pickle.loads(pickle.dumps(again)).tokenizer.get_vocab() == first.tokenizer.get_vocab()


@pytest.mark.parametrize("content", [b"", b"{}", b"no JSON\n{}", b'{"ids": {}}'])
def test_a_damaged_cache_is_passed_over(folder, cache, content):
    expected = load_tokenizer(folder)
    (file,) = cache.iterdir()
    file.write_bytes(content)
    found = load_tokenizer(folder)
    assert isinstance(found.tokenizer, Tokenizer)
    assert (found.id_bound, found.tokens) == (expected.id_bound, expected.tokens)


def test_a_flipped_bit_in_the_cache_is_noticed(folder, cache):
    expected = load_tokenizer(folder).tokenizer.to_str()
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    for at in (3, 100, len(whole) // 2, len(whole) - 9):
        content = bytearray(whole)
        content[at] ^= 1
        file.write_bytes(content)
        assert load_tokenizer(folder).tokenizer.to_str() == expected


def test_other_files_are_another_tokenizer(folder):
    load_tokenizer(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(file.read_text().replace("{", '{"model_max_length": 77,', 1))
    assert load_tokenizer(folder).model_max_length == 77
    assert load_tokenizer(folder).model_max_length == 77


def test_a_tokenizer_that_cannot_encode_is_loaded_and_not_cached(tmp_path, cache):
    folder = tmp_path / "without-unknown"
    folder.mkdir()
    tokenizer = Tokenizer(models.Unigram([("<mask>", 0.0), ("a", -1.0)], unk_id=None))
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(Exception, match="unk_id"):
        tokenizer.encode("a b")
    for _ in range(2):
        loaded = load_tokenizer(folder)
        assert loaded.tokenizer.token_to_id("<mask>") == 0
    assert not cache.exists()
