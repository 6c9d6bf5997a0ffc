"""fill_mask.onnx: what it takes, what it gives, and that less is computed for it."""

from __future__ import annotations

import numpy as np
import pytest

from mlmfast.exporting.checkpoint import load_checkpoint, quiet
from mlmfast.exporting.fill_mask_graph import FUSED, write_fill_mask_graph
from mlmfast.exporting.parity.logits import open_graph, random_inputs
from tiny_models import KINDS, save_checkpoint
from tolerances import KERNELS, SUMS

ANSWERS = ["scores", "tokens", "target_scores", "probabilities"]
# Matrix products of the last layer at masked rows only. ModernBERT makes queries, keys and values
# in one product, which needs all rows; YOSO's attention is no product of queries and keys.
LAST_LAYER = {"bert": 6, "roberta": 6, "distilbert": 6, "modernbert": 3}


def ask(session, inputs, positions, top_k=3, probabilities=True):
    taken = {entry.name for entry in session.get_inputs()}
    feed = {name: value for name, value in inputs.items() if name in taken}
    feed |= {
        "mask_positions": np.array(positions),
        "top_k": np.array(top_k),
        "targets": np.array([7, 3]),
        "want_probabilities": np.array(probabilities),
    }
    return session.run(ANSWERS, feed)


@pytest.fixture(scope="module")
def loaded(tiny_model):
    with quiet():
        return load_checkpoint(tiny_model("roberta").checkpoint)


@pytest.fixture(scope="module")
def session(tiny_model):
    return open_graph(tiny_model("roberta").onnx / FUSED)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_has_the_inputs_of_the_contract(tiny_model, kind):
    session = open_graph(tiny_model(kind).onnx / FUSED)
    own = ["input_ids", "attention_mask"] + ["token_type_ids"] * (kind == "bert")
    names = [*own, "mask_positions", "top_k", "targets", "want_probabilities"]
    assert [entry.name for entry in session.get_inputs()] == names
    assert [entry.name for entry in session.get_outputs()] == ANSWERS
    found = session.get_modelmeta().custom_metadata_map
    assert found["mlmfast.format"] == "1"
    assert found["mlmfast.precision"] == "fp32"
    assert (found["mlmfast.padding_shows"], found["mlmfast.longest"]) == ("0", "64")
    assert int(found["mlmfast.vocab_size"]) == session.get_outputs()[3].shape[1]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_checkpoints_own_wherever_the_masks_lie(tiny_model, kind):
    import torch

    with quiet():
        checkpoint = load_checkpoint(tiny_model(kind).checkpoint)
    inputs = random_inputs(checkpoint, 4, 21, padded=True)
    session = open_graph(tiny_model(kind).onnx / FUSED)
    taken = {entry.name for entry in session.get_inputs()} & inputs.keys()
    with torch.inference_mode():
        given = {name: torch.from_numpy(inputs[name]) for name in taken}
        expected = checkpoint.model(**given).logits.softmax(-1).flatten(0, 1).numpy()
    # One, in any order, twice the same, all in one text, texts left out, every token of a text.
    for positions in ([2], [44, 3, 20, 0], [65, 65], [21, 23, 22], [*range(21)]):
        scores, tokens, targets, probabilities = ask(session, inputs, positions)
        np.testing.assert_allclose(probabilities, expected[positions], atol=2 * KERNELS)
        np.testing.assert_allclose(targets, expected[positions][:, [7, 3]], atol=2 * KERNELS)
        np.testing.assert_allclose(
            scores, np.take_along_axis(expected[positions], tokens, -1), atol=2 * KERNELS
        )
        assert tokens.tolist() == np.argsort(-probabilities, kind="stable")[:, :3].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layer_runs_on_masked_rows(tmp_path, kind):
    with quiet():
        checkpoint = load_checkpoint(save_checkpoint(kind, tmp_path / "checkpoint"))
        found = write_fill_mask_graph(checkpoint.model, tmp_path / FUSED)
    assert found.head == "masked rows"
    assert found.moved.products == LAST_LAYER[kind]


def test_a_text_is_answered_the_same_whatever_is_asked_of_the_others(loaded, session):
    inputs = random_inputs(loaded, 3, 24, padded=False)
    *_, alone = ask(session, inputs, [30])
    *_, beside = ask(session, inputs, [5, 30, 6, 7, 50])
    np.testing.assert_allclose(alone[0], beside[1], atol=SUMS)


def test_a_model_traced_after_it_saw_another_length_is_not_frozen_to_it(tmp_path):
    """ESM keeps the table of its rotary embedding for the length it saw last."""
    import torch
    from transformers import EsmConfig, EsmForMaskedLM

    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=33,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=66,
        position_embedding_type="rotary",
        pad_token_id=1,
        mask_token_id=32,
        attn_implementation="eager",
    )
    model = EsmForMaskedLM(config).eval()
    ids = torch.arange(4, 23)[None]  # as long as the texts that are traced
    model(ids)
    with quiet():
        write_fill_mask_graph(model, tmp_path / FUSED)
    ids = torch.arange(4, 31)[None]
    inputs = {"input_ids": ids.numpy(), "attention_mask": torch.ones_like(ids).numpy()}
    *_, found = ask(open_graph(tmp_path / FUSED), inputs, [20])
    np.testing.assert_allclose(
        found[0], model(ids).logits[0, 20].softmax(-1).detach().numpy(), atol=KERNELS
    )
