"""Patched models compute what they computed, at every length, and are themselves again after."""

from __future__ import annotations

import pytest
import torch

from architectures import masked_types, tiny_model
from matrix import draw
from mlmfast.errors import InputError
from mlmfast.exporting.architectures import max_graph_length
from mlmfast.exporting.patches import PATCHED, traceable
from tolerances import KERNELS

VARIANTS = [
    *((kind, {}) for kind in PATCHED),
    ("esm", {"position_embedding_type": "absolute"}),
    ("funnel", {"block_sizes": [1, 1, 1]}),
    ("funnel", {"separate_cls": False}),
    ("funnel", {"truncate_seq": False}),
    ("funnel", {"pool_q_only": False, "pooling_type": "max"}),
    ("longformer", {"attention_window": [4, 8]}),
    ("mega", {"bidirectional": False}),
    ("mega", {"truncation": 5}),
    ("mega", {"relative_positional_bias": "simple"}),
    ("mega", {"attention_activation": "laplace"}),
    (
        "reformer",
        {"axial_pos_embds": True, "axial_pos_shape": (8, 8), "axial_pos_embds_dim": (8, 24)},
    ),
    ("tapas", {"reset_position_index_per_cell": False}),
    ("xmod", {"default_language": "de_DE", "pre_norm": True, "adapter_layer_norm": True}),
]


@pytest.mark.parametrize(
    ("kind", "overrides"), [item for item in VARIANTS if item[0] in masked_types()]
)
def test_the_same_numbers_at_every_length(kind, overrides):
    model = tiny_model(kind, **overrides)
    names = ("input_ids",) if kind == "fnet" else ("input_ids", "attention_mask")
    for batch, length in ((1, 5), (3, 17), (2, 40)):
        if overrides.get("truncate_seq") is False and length == 40:
            continue  # the model itself fails there
        inputs = draw(model, names, batch, length, padded=kind != "fnet")
        inputs = {name: torch.from_numpy(value) for name, value in inputs.items()}
        with torch.inference_mode():
            own = model(**inputs).logits[:, :length]
            with traceable(model):
                patched = model(**inputs).logits
            again = model(**inputs).logits[:, :length]
        assert torch.equal(own, again)
        real = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])).bool()
        assert torch.allclose(patched[real], own[real], atol=2 * KERNELS), (batch, length)


def test_matrices_of_fnet_itself_are_used_where_it_has_them():
    model = tiny_model("fnet")
    inputs = torch.from_numpy(draw(model, ("input_ids",), 2, 11)["input_ids"])
    with torch.inference_mode(), traceable(model):
        expected = model(inputs).logits
    for module in model.modules():
        if type(module).__name__ == "FNetBasicFourierTransform":
            # As with use_tpu_fourier_optimizations, which needs scipy to build them.
            module.dft_mat_seq = torch.fft.fft(torch.eye(11))
            module.dft_mat_hidden = torch.fft.fft(torch.eye(32))
    with torch.inference_mode(), traceable(model):
        assert torch.allclose(model(inputs).logits, expected, atol=2 * KERNELS)


def test_a_model_of_many_languages_must_name_one():
    model = tiny_model("xmod", default_language=None)
    with pytest.raises(InputError, match=r"one of en_XX, de_DE there"), traceable(model):
        pass


def test_a_funnel_that_pools_by_length_is_refused():
    model = tiny_model("funnel", attention_type="factorized")
    with pytest.raises(InputError, match="not factorized"), traceable(model):
        pass


def test_texts_are_no_longer_than_the_graph_is_right_for():
    bert = tiny_model("bert")
    assert max_graph_length(bert) == bert.config.max_position_embeddings
    reformer = tiny_model("reformer", local_attn_chunk_length=16, lsh_attn_chunk_length=12)
    assert max_graph_length(reformer) == 12
    assert max_graph_length(tiny_model("big_bird")) == (5 + 2) * 4
    assert max_graph_length(tiny_model("big_bird", attention_type="original_full")) == 66
    if "mega" in masked_types():  # transformers 5 has it no more
        assert max_graph_length(tiny_model("mega", max_positions=30)) == 30
        assert max_graph_length(tiny_model("mega", use_chunking=True, chunk_size=8)) == 8
