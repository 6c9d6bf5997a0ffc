"""Decoding many candidates by parts gives what decoding each whole text gives."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmfast.serving.folder import OnnxFolder
from mlmfast.serving.text.decoding import Decoder
from mlmfast.serving.text.tokenizer import ServingTokenizer
from places import SHARED
from published import PUBLISHED, published_folder
from tiny_models import byte_level_bpe, wordpiece

LARGER = ["bert-base-cased", "modernbert-base", "xlm-roberta-base"]


def opened(tokenizer, folder):
    tokenizer.save_pretrained(folder)
    return opened_folder(folder)


def opened_folder(folder):
    (folder / "config.json").write_text("{}")
    (folder / "model.onnx").touch()
    onnx = OnnxFolder.open(folder)
    tokenizer = ServingTokenizer(onnx)
    return tokenizer, Decoder(tokenizer, onnx)


@pytest.fixture(scope="module")
def decoders(tmp_path_factory):
    found = {
        name: opened(make(), tmp_path_factory.mktemp(name))
        for name, make in (("bpe", byte_level_bpe), ("wordpiece", wordpiece))
    }
    for name in PUBLISHED:
        folder = shutil.copytree(published_folder(name), tmp_path_factory.mktemp(name) / "onnx")
        if name == "t5-small":  # its own word for what is missing
            config = {"mask_token": "<extra_id_0>", "pad_token": "<pad>"}
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
        found[name] = opened_folder(folder)
    if SHARED.exists():
        from transformers import AutoTokenizer

        for name in LARGER:
            tokenizer = AutoTokenizer.from_pretrained(SHARED / "tokenizers" / name)
            found[name] = opened(tokenizer, tmp_path_factory.mktemp(name))
    return found


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_parts_are_the_whole(decoders, data):
    """Random ids: halves of characters, special tokens, padding, pieces at the start."""
    tokenizer, decoder = decoders[data.draw(st.sampled_from(sorted(decoders)))]
    token = st.integers(0, len(tokenizer) - 1) | st.integers(0, 20)
    ids = data.draw(st.lists(token, min_size=1, max_size=12))
    mask = data.draw(st.integers(0, len(ids) - 1))
    candidates = data.draw(st.lists(token, min_size=2, max_size=6))
    skip = data.draw(st.booleans())
    whole = []
    for candidate in candidates:
        filled = [*ids[:mask], candidate, *ids[mask + 1 :]]
        kept = [one for one in filled if one != tokenizer.pad_id]
        whole.append(tokenizer.decode(kept, skip_special_tokens=skip))
    assert decoder.sequences(ids, mask, candidates, skip_special=skip) == whole
    assert [decoder.token(one) for one in candidates] == [
        tokenizer.decode([one]) for one in candidates
    ]


def test_the_parts_are_used(decoders, monkeypatch):
    """Else the test above would compare the slow way with itself."""
    for tokenizer, decoder in decoders.values():
        ids = tokenizer._tokenizer.encode("the capital of france").ids
        candidates = tokenizer._tokenizer.encode("paris is a far city").ids
        decoded = []
        with monkeypatch.context() as patch:
            patch.setattr(tokenizer, "decode", lambda *_, kept=decoded, **__: kept.append(1) or "")
            texts = decoder.sequences(ids, 2, candidates, skip_special=True)
        assert len(texts) == len(candidates)
        assert not decoded
