"""Models with another vocabulary, of every type that transformers has."""

from __future__ import annotations

import pytest
import torch

from architectures import VOCABULARY, masked_types, tiny_model
from mlmfast.errors import InputError
from mlmfast.vocabulary.model.config_ids import ids_of
from mlmfast.vocabulary.model.rebuild import position_padding, rebuild
from mlmfast.vocabulary.model.sources import RowSources
from tolerances import KERNELS

# ids 0 to 4 are the special tokens.
KEPT = [0, 1, 2, 3, 4, *range(5, len(VOCABULARY), 3)]
NEW_IDS = {old: new for new, old in enumerate(KEPT)}
LENGTH = 10
# One needs a package of NVIDIA's, the other reads sound.
UNTRIED = {"qdqbert", "wav2vec2"}


def trimmed(model):
    size = len(VOCABULARY)
    sources = RowSources(torch.tensor(KEPT), {})
    return rebuild(model, sources, lambda _, old: NEW_IDS.get(old, old if old >= size else None))


@pytest.mark.parametrize("kind", sorted({*masked_types()} - UNTRIED))
@torch.no_grad()
def test_kept_tokens_have_their_logits(kind):
    model = tiny_model(kind)
    new = trimmed(model)
    assert new.config.get_text_config().vocab_size == len(KEPT)
    ids = torch.arange(5, 5 + LENGTH)[None] % len(KEPT)
    old_ids = torch.tensor(KEPT)[ids]
    before = model(input_ids=old_ids).logits[..., KEPT]
    after = new(input_ids=ids).logits
    assert after.shape[-1] == len(KEPT)
    torch.testing.assert_close(after, before, rtol=0, atol=KERNELS * before.abs().max().item())


@torch.no_grad()
def test_an_untied_decoder_gets_its_own_rows():
    model = tiny_model("bert", tie_word_embeddings=False)
    new = trimmed(model)
    decoder = new.get_output_embeddings()
    assert decoder.weight is not new.get_input_embeddings().weight
    assert torch.equal(decoder.weight, model.get_output_embeddings().weight[KEPT])
    assert torch.equal(decoder.bias, model.get_output_embeddings().bias[KEPT])
    assert torch.equal(new.get_input_embeddings().weight, model.get_input_embeddings().weight[KEPT])


def test_rows_are_copies_or_means():
    model = tiny_model("bert")
    sources = RowSources.of([*range(5), {7: 0.5, 9: 0.5}, 8, {7: 0.25, 8: 0.75}])
    new = rebuild(model, sources, lambda _, old: old)
    before, after = (one.get_input_embeddings().weight for one in (model, new))
    assert torch.equal(after[6], before[8])
    torch.testing.assert_close(after[5], (before[7] + before[9]) / 2)
    torch.testing.assert_close(after[7], before[7] / 4 + before[8] * 3 / 4)
    bias = model.get_output_embeddings().bias
    torch.testing.assert_close(new.get_output_embeddings().bias[5], (bias[7] + bias[9]) / 2)


@torch.no_grad()
def test_positions_move_with_the_padding():
    """RoBERTa numbers positions from the id of its padding, 1 before and 0 or 5 after."""
    model = tiny_model("roberta")
    assert position_padding(model) == 1
    ids = torch.tensor([[0, 9, 10, 11, 2]])
    before = model(input_ids=ids).logits
    for order in ([1, 0, *range(2, 20)], [0, 2, 3, 4, 5, 1, *range(6, 20)]):
        sources = RowSources.of(order)
        new_ids = {old: new for new, old in enumerate(order)}
        new = rebuild(model, sources, lambda _, old, ids=new_ids: ids.get(old, 0))
        assert new.config.pad_token_id == new_ids[1] == position_padding(new)
        moved = torch.tensor([[new_ids[number] for number in ids[0].tolist()]])
        after = new(input_ids=moved).logits
        expected = before[..., order]
        torch.testing.assert_close(
            after, expected, rtol=0, atol=KERNELS * expected.abs().max().item()
        )


def test_a_fixed_padding_cannot_move():
    """MPNet numbers positions from the id 1, whatever its configuration says."""
    order = [1, 0, *range(2, 20)]
    with pytest.raises(InputError, match="numbers positions from the padding with the id 1"):
        rebuild(tiny_model("mpnet"), RowSources.of(order), lambda _, old: order.index(old))


def test_ids_are_found_in_the_configuration():
    model = tiny_model("xlm")
    assert {0, 1, 2, 3, 4} <= ids_of(model.config)
    new = trimmed(model)
    assert (new.config.pad_index, new.config.mask_index) == (1, 4)
    assert new.config.n_words == len(KEPT)


def test_the_random_numbers_of_the_caller_go_on():
    torch.manual_seed(3)
    expected = torch.rand(3)
    model = tiny_model("bert")
    torch.manual_seed(3)
    trimmed(model)
    assert torch.equal(torch.rand(3), expected)
