"""How long an input models of PyTorch take."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mlmfast.torch_models import max_input_length

torch = pytest.importorskip("torch", reason="torch is not installed")


def model(config: dict, **modules):
    module = torch.nn.Module()
    module.config = SimpleNamespace(**config)
    module.embeddings = torch.nn.ModuleDict(modules)
    return module


def test_a_table_of_positions_sets_the_limit():
    bert = model({"max_position_embeddings": 512}, position_embeddings=torch.nn.Embedding(512, 2))
    assert max_input_length(bert).usable == 512


def test_rows_up_to_the_padding_are_reserved():
    table = torch.nn.Embedding(514, 2, padding_idx=1)
    positions = max_input_length(model({"max_position_embeddings": 514}, position_embeddings=table))
    assert (positions.table, positions.reserved, positions.usable) == (514, 2, 512)


def test_rows_beyond_the_configuration_are_reserved():
    """Nystromformer and YOSO number positions from 2, and no padding index says so."""
    table = torch.nn.Embedding(66, 2)
    positions = max_input_length(model({"max_position_embeddings": 64}, position_embeddings=table))
    assert (positions.table, positions.reserved, positions.usable) == (66, 2, 64)


def test_a_table_on_the_meta_device_counts():
    with torch.device("meta"):
        table = torch.nn.Embedding(66, 2)
    assert max_input_length(model({}, position_embeddings=table)).usable == 66


def test_tables_of_other_positions_do_not_count():
    table = torch.nn.Embedding(1024, 2)
    layout = model({"max_position_embeddings": 512}, x_position_embeddings=table)
    assert max_input_length(layout).usable == 512


def test_a_model_without_a_table_has_the_limit_of_its_configuration():
    assert max_input_length(model({"max_position_embeddings": 8192})).usable == 8192
    text = SimpleNamespace(max_position_embeddings=100)
    assert max_input_length(model({"text_config": text})).usable == 100


@pytest.mark.parametrize(
    "config", [{}, {"max_position_embeddings": None}, {"max_position_embeddings": 0}]
)
def test_a_model_without_any_limit(config):
    assert max_input_length(model(config)) is None
    assert max_input_length(torch.nn.Linear(1, 1)) is None
