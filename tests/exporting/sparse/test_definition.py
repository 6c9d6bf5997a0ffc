"""What a folder of sentence-transformers says about a sparse encoder."""

from __future__ import annotations

import numpy as np
import pytest

from mlmfast.errors import InputError, NotFoundError
from mlmfast.exporting.sparse.definition import read_definition
from mlmfast.exporting.sparse.queries import read_query_weights
from sparse_models import TYPES, save_modules, save_router, write_json


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    write_json(folder / "config.json", {"model_type": "bert", "vocab_size": 3})
    return folder


class Words:
    """A tokenizer of three tokens."""

    def get_vocab(self):
        return {"a": 0, "b": 1, "c": 2}


def test_a_checkpoint_without_modules_is_pooled_by_its_maximum(checkpoint):
    found = read_definition(str(checkpoint))
    assert (found.pooling, found.activation, found.location) == ("max", "relu", str(checkpoint))


def test_pooling_and_activation_are_those_of_the_folder(checkpoint, tmp_path):
    folder = save_modules(checkpoint, tmp_path / "sum", "sum", "log1p_relu")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 17})
    found = read_definition(str(folder))
    assert (found.pooling, found.activation, found.max_length) == ("sum", "log1p_relu", 17)
    assert found.location == str(folder)
    assert read_query_weights(found, Words()) is None


def test_the_folder_says_how_many_words_to_keep_and_its_prompts(checkpoint, tmp_path):
    folder = save_modules(checkpoint, tmp_path / "model")
    prompts = {"query": "query: ", "document": ""}
    write_json(
        folder / "config_sentence_transformers.json", {"max_active_dims": 8, "prompts": prompts}
    )
    found = read_definition(str(folder))
    assert (found.top_k, found.prompts) == (8, ("query",))


def test_a_router_names_the_model_of_documents_and_the_table_of_queries(checkpoint, tmp_path):
    weights = np.array([0.5, 0, 2], np.float32)
    folder = save_router(checkpoint, tmp_path / "router", weights, pooling_strategy="sum")
    found = read_definition(str(folder))
    assert found.pooling == "sum"
    assert found.location == str(folder / "document_0_Transformer")
    np.testing.assert_array_equal(read_query_weights(found, Words()), weights)


def test_a_table_of_tokens_lies_beside_the_weights_as_opensearch_has_it(checkpoint):
    write_json(checkpoint / "idf.json", {"c": 3.5, "a": 1})
    found = read_query_weights(read_definition(str(checkpoint)), Words())
    np.testing.assert_array_equal(found, np.array([1, 0, 3.5], np.float32))


def test_a_query_model_without_its_table_is_refused(checkpoint, tmp_path):
    folder = save_router(checkpoint, tmp_path / "router", None)
    with pytest.raises(NotFoundError, match=r"neither query_0_.*model\.safetensors nor idf\.json"):
        read_query_weights(read_definition(str(folder)), Words())


@pytest.mark.parametrize(
    ("table", "message"),
    [({"a": 1, "z": 2}, "does not know, such as 'z'"), (["a"], "object of tokens")],
)
def test_a_table_of_another_model_is_refused(checkpoint, table, message):
    write_json(checkpoint / "idf.json", table)
    with pytest.raises(InputError, match=message):
        read_query_weights(read_definition(str(checkpoint)), Words())


def test_other_models_of_sentence_transformers_are_refused(checkpoint):
    dense = "sentence_transformers.models.Pooling"
    write_json(
        checkpoint / "modules.json",
        [{"path": "", "type": TYPES["transformer"]}, {"path": "1_Pooling", "type": dense}],
    )
    with pytest.raises(InputError, match="modules Transformer, Pooling; a sparse encoder is"):
        read_definition(str(checkpoint))


def test_an_unknown_pooling_is_refused(checkpoint, tmp_path):
    folder = save_modules(checkpoint, tmp_path / "mean", "mean")
    with pytest.raises(InputError, match=r"pooling_strategy of .* is 'mean'; known are max, sum"):
        read_definition(str(folder))
