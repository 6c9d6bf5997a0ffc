"""Folders without a tokenizer.json: what transformers makes of them is cached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlmfast.data.tokenization import cached, load
from mlmfast.fs import cache
from sequences import ESM2, esm_tokenizer

PROTEINS = ["MKTAYIAKQR<mask>ISFV", "", "lag X", "LAGVSERTIDPKQNFYMHWC" * 20]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    esm_tokenizer(tmp_path / "words", ESM2).save_pretrained(tmp_path / "esm")
    return tmp_path / "esm"


@pytest.fixture
def opened(monkeypatch):
    """The names of the folders that AutoTokenizer opens."""
    names = []

    def note(name, path, real=load.open_folder):
        names.append(name)
        return real(name, path)

    monkeypatch.setattr(load, "open_folder", note)
    return names


def ids(loaded):
    return [encoding.ids for encoding in loaded.tokenizer.encode_batch(PROTEINS)]


def test_it_is_converted_once(folder, opened):
    first, second = (load.load_tokenizer(folder) for _ in range(2))
    assert len(opened) == 1
    assert ids(first) == ids(second)
    assert first.tokenizer.to_str() == second.tokenizer.to_str()
    same = vars(first).keys() - {"tokenizer"}
    assert {key: getattr(first, key) for key in same} == {key: getattr(second, key) for key in same}


def test_other_words_are_converted_anew(folder, opened):
    before = load.load_tokenizer(folder)
    words = folder / "vocab.txt"
    lines = words.read_text(encoding="utf-8").splitlines()
    lines[4], lines[5] = lines[5], lines[4]
    words.write_text("\n".join(lines), encoding="utf-8")
    after = load.load_tokenizer(folder)
    assert len(opened) == 2
    assert ids(before) != ids(after)


def test_a_damaged_cache_is_not_believed(folder, opened):
    before = load.load_tokenizer(folder)
    (file,) = cache.cache_dir("opened").iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert ids(load.load_tokenizer(folder)) == ids(before)
    assert len(opened) == 2


def test_files_that_are_no_text_are_kept(folder):
    """A folder with a SentencePiece model alone has it beside its tokenizer.json, too."""
    loaded = load.load_tokenizer(folder)
    loaded = replace(loaded, files={**loaded.files, "spiece.model": bytes(range(256))})
    key = {"spiece.model": bytes(range(256))}
    cached.write_to_cache(key, loaded, [], slow_to_open=True, converted=True)
    found = cached.from_cache(loaded.name, key)
    assert found.files == loaded.files
    assert ids(found) == ids(loaded)


def test_a_class_that_reads_further_files_is_not_cached(folder, opened, monkeypatch):
    from transformers import EsmTokenizer

    further = {**EsmTokenizer.vocab_files_names, "further_file": "further.txt"}
    monkeypatch.setattr(EsmTokenizer, "vocab_files_names", further)
    for _ in range(2):
        load.load_tokenizer(folder)
    assert len(opened) == 2
