from __future__ import annotations

import json

import pyarrow as pa
import pytest

from corpus import documents, tiny_tokenizer
from mlmfast.data.tokenization import encoder as text_encoder
from mlmfast.data.tokenization.encoder import TextEncoder
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.verification import parity
from mlmfast.errors import InputError

TEXTS = pa.array([*documents(50), "", "a <mask> in the middle", "naïve 猫 \x00"], pa.large_string())


@pytest.fixture(scope="module")
def loaded():
    return load_tokenizer(tiny_tokenizer())


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of these tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr(text_encoder, "_ready", type(text_encoder._ready)())
        yield folder


@pytest.mark.parametrize("special", [False, True])
def test_the_core_and_the_library_give_the_same_ids(loaded, special):
    fast = TextEncoder(loaded, add_special_tokens=special, verify=len(TEXTS))
    slow = TextEncoder(loaded, add_special_tokens=special, engine="library")
    assert (fast.engine, slow.engine) == ("byte-level BPE", "library")
    assert fast.encode(TEXTS).equals(slow.encode(TEXTS))


def test_the_outcome_of_the_check_is_kept(loaded, cache, monkeypatch):
    TextEncoder(loaded)
    (file,) = (cache / "mlmfast" / "tokenizers").iterdir()
    assert isinstance(json.loads(file.read_text())["differing"], list)
    text_encoder._ready.clear()
    monkeypatch.setattr(parity, "differing_code_points", pytest.fail)
    monkeypatch.setattr(parity, "differing_texts", pytest.fail)
    assert TextEncoder(loaded).engine == "byte-level BPE"


def test_an_outcome_that_is_damaged_is_not_believed(loaded, cache, monkeypatch):
    TextEncoder(loaded)
    (file,) = (cache / "mlmfast" / "tokenizers").iterdir()
    whole = file.read_text()
    file.write_text(json.dumps({**json.loads(whole), "fallback_ranges": []}))
    text_encoder._ready.clear()
    tried = []
    monkeypatch.setattr(parity, "differing_code_points", lambda *_: tried.append(1) or [])
    TextEncoder(loaded)
    assert tried
    file.write_text(whole)
    text_encoder._ready.clear()


def test_what_verifying_finds_is_an_error_that_shows_the_text(loaded, monkeypatch):
    encoder = TextEncoder(loaded, verify=8)
    monkeypatch.setattr(encoder, "_before", [3])  # as a core would that is wrong
    with pytest.raises(InputError, match=r"otherwise than tokenizers: .*--tokenizer-engine"):
        encoder.encode(TEXTS)


def test_faults_are_named(loaded):
    with pytest.raises(InputError, match="engine must be one of auto, library; got 'fast'"):
        TextEncoder(loaded, engine="fast")
    with pytest.raises(InputError, match="row 1 is null"):
        TextEncoder(loaded).encode(pa.array(["a", None], pa.large_string()))
