"""Pooled states: what the model itself gives for each text alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from labelled import labelled_texts
from mlmfast.errors import InputError
from mlmfast.training.probing.encoder import open_encoder, pooled_states
from mlmfast.training.probing.options import ProbeOptions
from tiny_models import KINDS, save_checkpoint

TEXTS = [row["text"] for row in labelled_texts(40)]


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request, tmp_path_factory):
    return save_checkpoint(request.param, tmp_path_factory.mktemp(request.param))


def options(**given):
    return ProbeOptions([], train="none", device="cpu", **{"precision": "fp32"} | given)


def states_of(checkpoint, texts, layer):
    """The hidden states of each text alone, with transformers only."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt", truncation=False, padding=False)
        with torch.no_grad():
            output = model(**inputs, output_hidden_states=True)
        yield (output.last_hidden_state if layer == -1 else output.hidden_states[layer])[0].numpy()


@pytest.mark.parametrize("layer", [-1, 0, 1])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_features_are_the_models_own(checkpoint, pooling, layer):
    given = options(pooling=pooling, layer=layer, batch_size=7)
    encoder, network = open_encoder(str(checkpoint), given)
    ids = encoder.encode(TEXTS, TEXTS[:1]).train
    found = pooled_states(network, ids, encoder.pad_id, given)
    expected = [
        states.mean(0) if pooling == "mean" else states[0]
        for states in states_of(checkpoint, TEXTS, layer)
    ]
    # Sums over padded rows round otherwise.
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-4, atol=1e-5)


def test_long_texts_are_cut_and_counted(checkpoint):
    encoder, _ = open_encoder(str(checkpoint), options(max_length=8))
    found = encoder.encode(["the city"], ["the city in france " * 30])
    assert found.truncated == 1
    assert len(found.test[0]) == 8
    assert found.test[0][-1] == encoder.tokenizer.sep_token_id
    assert len(found.train[0]) < 8


def test_the_length_is_the_models_own(checkpoint):
    encoder, _ = open_encoder(str(checkpoint), options())
    assert encoder.max_length == 64
    with pytest.raises(InputError, match="takes 64 tokens"):
        open_encoder(str(checkpoint), options(max_length=65))


def test_a_layer_that_does_not_exist_is_named(checkpoint):
    with pytest.raises(InputError, match="layers 0 to 2"):
        open_encoder(str(checkpoint), options(layer=3))


def test_a_model_without_a_tokenizer_is_refused(tmp_path):
    folder = save_checkpoint("bert", tmp_path / "m")
    for file in folder.glob("*token*"):
        file.unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"needs the tokenizer of .* holds no tokenizer"):
        open_encoder(str(folder), options())
