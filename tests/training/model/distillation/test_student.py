"""Students: the layers of a teacher, or those of its weights that fit another shape."""

from __future__ import annotations

import logging

import pytest
import torch
import transformers

from mlmfast.errors import InputError
from mlmfast.training.model.distillation.layers import layer_lists
from mlmfast.training.model.distillation.student import (
    spread_layers,
    student_from_layers,
    student_of_shape,
)
from tiny_networks import batch, make_network
from tolerances import SUMS

# XLM has a list for each part of a layer.
KINDS = ("roberta", "bert", "electra", "xlm-roberta", "mpnet", "deberta-v2", "xlm")


def network(kind, layers=4, **more):
    more |= {"num_hidden_layers": layers}
    if kind == "distilbert":
        more |= {"dim": 32, "n_heads": 2, "hidden_dim": 48, "n_layers": layers}
    if kind == "xlm":
        more |= {"emb_dim": 32, "n_layers": layers, "n_heads": 2, "pad_index": 1}
    return make_network(kind, **more).eval()


def logits(model):
    inputs, _ = batch()
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.parametrize("kind", [*KINDS, "distilbert"])
def test_a_student_runs_the_layers_of_its_teacher(kind, tmp_path):
    """Also after it was saved: what it computes is in its configuration."""
    teacher = network(kind)
    student = student_from_layers(teacher, (0, 2, 3))
    student.save_pretrained(tmp_path)
    again = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    for each in layer_lists(teacher).values():
        del each[1]
        for number, layer in enumerate(each):
            for module in layer.modules():
                module.layer_id = number  # XLM's attention has one
    teacher.base_model.n_layers = 3  # as XLM counts them
    teacher.config.num_hidden_layers = 3
    assert torch.allclose(logits(again), logits(teacher), atol=SUMS)
    assert again.config.num_hidden_layers == 3
    assert again.config.model_type == kind
    theirs = {each.data_ptr() for each in teacher.parameters()}
    assert not theirs & {each.data_ptr() for each in student.parameters()}


@pytest.mark.parametrize(
    ("layers", "period"),
    [((0, 1, 2), 3), ((0, 3), 1), ((0, 1, 2, 3), 3), ((0, 2), 3), ((0, 2, 3), 2)],
)
def test_the_layers_of_a_modernbert_keep_their_kind_of_attention(layers, period):
    teacher = network("modernbert", global_attn_every_n_layers=3, local_attention=4)
    student = student_from_layers(teacher, layers)
    if getattr(student.config, "layer_types", None):  # transformers 5
        kinds = [teacher.config.layer_types[layer] for layer in layers]
        assert student.config.layer_types == kinds
    else:
        assert student.config.global_attn_every_n_layers == period
    kept = [teacher.model.layers[layer] for layer in layers]
    teacher.model.layers = torch.nn.ModuleList(kept)
    assert torch.allclose(logits(student), logits(teacher), atol=SUMS)


def test_layers_that_make_no_modernbert_are_refused():
    teacher = network("modernbert", layers=5, global_attn_every_n_layers=3)
    if not getattr(teacher.config, "layer_types", None):
        with pytest.raises(InputError, match=r"full, full, local attention.*whole groups of 3"):
            student_from_layers(teacher, (0, 3, 4))
    with pytest.raises(InputError, match=r"has model.layers.0.attn_norm.weight.*beginning with 0"):
        student_from_layers(teacher, (3,))  # the first layer has no norm before its attention


def test_a_list_with_an_entry_for_each_layer_is_cut():
    teacher = network("longformer", attention_window=[4, 8, 4, 8])
    assert student_from_layers(teacher, (1, 2)).config.attention_window == [8, 4]


def test_layers_that_the_teacher_has_not_are_named():
    with pytest.raises(InputError, match="layer 4, but the teacher has 4 layers: 0 to 3"):
        student_from_layers(network("roberta"), (0, 4))


def test_layers_that_are_one_module_are_refused():
    with pytest.raises(InputError, match=r"albert cannot be taken one by one.*--student"):
        student_from_layers(network("albert"), (0, 1))


def test_another_shape_takes_what_fits(caplog):
    """As deep layers as its own, which begin at about the same depth."""
    teacher = network("roberta")
    config = network("roberta", layers=2, intermediate_size=20).config
    with caplog.at_level(logging.INFO, logger="mlmfast"):
        student = student_of_shape(teacher, config)
    assert "its layers from layers 0,3" in caplog.text
    found, source = student.state_dict(), teacher.state_dict()
    name = "roberta.encoder.layer.{}.attention.self.query.weight"
    assert torch.equal(found[name.format(1)], source[name.format(3)])
    assert torch.equal(found["lm_head.decoder.weight"], source["lm_head.decoder.weight"])
    inner = found["roberta.encoder.layer.1.intermediate.dense.weight"]
    assert inner.shape[0] == 20
    assert student.lm_head.decoder.weight is student.get_input_embeddings().weight


def test_another_width_starts_at_random(caplog):
    config = network("roberta", hidden_size=16).config
    student = student_of_shape(network("roberta"), config)
    assert student.config.hidden_size == 16
    assert "it starts from random weights" not in caplog.text  # the bias of the head fits
    student_of_shape(network("roberta"), network("distilbert").config)


def test_layers_are_spread_as_in_distilbert():
    assert spread_layers(6, 12) == [0, 2, 4, 7, 9, 11]
    assert spread_layers(1, 12) == [0]
    assert spread_layers(3, 3) == [0, 1, 2]
