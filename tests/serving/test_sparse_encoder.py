"""SparseEncoder: its vectors are PyTorch's, in every form, in any company, and its errors."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pytest

from mlmfast import FillMask, SparseEncoder
from mlmfast.errors import InputError, NotFoundError, TooManyTokensError
from mlmfast.exporting.export import export
from places import shared
from sparse_models import expected_vectors, save_modules, save_router, write_json
from tiny_models import KINDS
from tolerances import GRAPHS, KERNELS

TEXTS = [
    "paris is the capital of france",
    "the milky way is a spiral galaxy that contains our solar system",
    "berlin",
    "",
    "it is n't far !",
]


@pytest.fixture(scope="module")
def bert(tiny_sparse):
    return SparseEncoder(tiny_sparse("bert").onnx, device="cpu")


@pytest.fixture(scope="module")
def table(tiny_model, tmp_path_factory):
    """A folder whose queries are encoded by a table, and its weights."""
    folder = tmp_path_factory.mktemp("table")
    weights = np.random.default_rng(0).uniform(0.1, 5, 150).astype(np.float32)
    weights[20:40] = 0
    save_router(tiny_model("bert").checkpoint, folder / "router", weights)
    export(folder / "router", folder / "onnx", task="sparse")
    return folder / "onnx", weights


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_pytorch(tiny_sparse, kind):
    model = tiny_sparse(kind)
    expected = expected_vectors(model.checkpoint, TEXTS)
    encoder = SparseEncoder(model.onnx, device="cpu")
    for batching in (None, 1, 2):
        found = encoder(TEXTS, returns="csr", special_tokens=True, batch_size=batching)
        np.testing.assert_allclose(found.toarray(), expected, rtol=KERNELS, atol=2 * KERNELS)


@pytest.mark.parametrize(
    ("pooling", "activation"), [("sum", "relu"), ("max", "log1p_relu"), ("sum", "log1p_relu")]
)
def test_the_pooling_is_that_of_the_checkpoint(tiny_model, tmp_path, pooling, activation):
    checkpoint = save_modules(
        tiny_model("bert").checkpoint, tmp_path / "model", pooling, activation
    )
    export(checkpoint, tmp_path / "onnx", task="sparse")
    found = SparseEncoder(tmp_path / "onnx")(TEXTS, returns="csr", special_tokens=True)
    expected = expected_vectors(checkpoint, TEXTS, pooling, activation)
    np.testing.assert_allclose(found.toarray(), expected, rtol=KERNELS, atol=20 * KERNELS)


def test_all_forms_hold_the_same_words(bert):
    matrix = bert(TEXTS, returns="csr")
    assert matrix.shape == (len(TEXTS), bert.vocab_size)
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    arrays = bert(TEXTS, returns="arrow")
    assert arrays.type == pa.struct(
        [("ids", pa.list_(pa.int32())), ("weights", pa.list_(pa.float32()))]
    )
    dictionaries = bert(TEXTS)
    tokens = bert._model.tokenizer.vocabulary_token
    for row, (words, array) in enumerate(zip(dictionaries, arrays.to_pylist(), strict=True)):
        ids = matrix[row].indices
        assert array["ids"] == ids.tolist()
        np.testing.assert_array_equal(array["weights"], matrix[row].data)
        assert words == {
            tokens(int(number)): float(weight)
            for number, weight in zip(ids, matrix[row].data, strict=True)
        }
        assert [*words.values()] == sorted(words.values(), reverse=True)
    streamed = list(bert.stream(iter(TEXTS), returns="lists"))
    assert [dict(zip(s["tokens"], s["weights"], strict=True)) for s in streamed] == dictionaries
    assert list(bert.stream(TEXTS)) == dictionaries


def test_arrow_goes_in_and_comes_out(bert):
    column = pa.chunked_array([TEXTS[:2], TEXTS[2:]])
    assert bert(column).equals(bert(TEXTS, returns="arrow"))
    assert bert(column, returns="dict") == bert(TEXTS)
    polars = pytest.importorskip("polars")
    assert bert(polars.Series(TEXTS)).equals(bert(column))


def test_a_single_text_gives_one_dictionary(bert):
    assert bert(TEXTS[0]) == bert([TEXTS[0]])[0]
    assert bert(TEXTS[0], returns="csr").shape == (1, bert.vocab_size)
    assert bert([]) == []
    assert bert([], returns="csr").shape == (0, bert.vocab_size)
    assert len(bert([], returns="arrow")) == 0


def test_texts_of_one_batch_keep_their_own_options(bert):
    """As the server runs them: the graph takes what any of them may keep."""
    from mlmfast.serving.engine.sparse import SparseGraph
    from mlmfast.serving.tasks.sparse import sparse_task

    assert isinstance(bert._model.engine.graph, SparseGraph)
    options = [
        {"top_k": 3},
        {"threshold": 0.5},
        {"special_tokens": True, "top_k": 2},
        {},
        {"special_tokens": True, "threshold": 1.0},
    ]
    texts, alone = [], []
    for text, given in zip([TEXTS[0]] * len(options), options, strict=True):
        task = sparse_task(bert._model, **given)
        texts += task.encode([text], bert._model, names=str)
        alone.append(bert(text, returns="arrow", **given)[0].as_py())
    together = bert._model.engine.run_batch(bert._model.engine.sessions()[0], texts, None)
    for vector, expected in zip(together, alone, strict=True):
        assert vector.ids.tolist() == expected["ids"]
        np.testing.assert_allclose(vector.weights, expected["weights"], rtol=KERNELS)


def test_special_tokens_have_no_weight_unless_asked_for(bert):
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert special & {token for words in bert(TEXTS, special_tokens=True) for token in words}
    assert not special & {token for words in bert(TEXTS) for token in words}


def test_long_texts_are_cut_as_the_tokenizer_cuts_them(bert, tiny_sparse):
    text = "paris is the capital of france " * 20
    expected = expected_vectors(tiny_sparse("bert").checkpoint, [text])
    found = bert([text], returns="csr", special_tokens=True)
    np.testing.assert_allclose(found.toarray(), expected, rtol=KERNELS, atol=2 * KERNELS)
    with pytest.raises(TooManyTokensError, match=r"takes at most 64.*truncate=True"):
        bert(text, truncate=False)


def test_the_length_of_the_checkpoint_cuts_texts(tiny_model, tmp_path):
    checkpoint = save_modules(tiny_model("bert").checkpoint, tmp_path / "model")
    (checkpoint / "sentence_bert_config.json").write_text('{"max_seq_length": 5}')
    export(checkpoint, tmp_path / "onnx", task="sparse")
    encoder = SparseEncoder(tmp_path / "onnx")
    assert encoder("paris is the capital of france") == encoder("paris is the")


def test_words_and_prompts_of_the_checkpoint(tiny_model, tmp_path, caplog):
    checkpoint = save_modules(tiny_model("bert").checkpoint, tmp_path / "model")
    settings = {"max_active_dims": 4, "prompts": {"query": "query: "}}
    write_json(checkpoint / "config_sentence_transformers.json", settings)
    export(checkpoint, tmp_path / "onnx", task="sparse")
    assert "has prompts (query), which sentence-transformers puts before texts" in caplog.text
    encoder = SparseEncoder(tmp_path / "onnx")
    assert [len(words) for words in encoder(TEXTS)] == [4] * len(TEXTS)
    assert len(encoder(TEXTS[0], top_k=2)) == 2


def test_queries_are_encoded_by_the_table(table):
    folder, weights = table
    encoder = SparseEncoder(folder)
    assert encoder.has_query_table
    found = encoder.encode_query("paris is the capital of paris")
    ids = encoder._model.tokenizer._tokenizer.encode(
        "paris is the capital of paris", add_special_tokens=False
    ).ids
    tokens = encoder._model.tokenizer.vocabulary_token
    expected = {tokens(i): float(weights[i]) for i in set(ids) if weights[i] > 0}
    assert found == expected
    assert encoder.encode_query(["", "paris"], returns="csr").getnnz(axis=1).tolist()[0] == 0
    heaviest = max(expected, key=expected.get)
    assert encoder.encode_query("paris is the capital of paris", top_k=1) == {
        heaviest: expected[heaviest]
    }
    streamed = list(encoder.stream(["paris is the capital of paris"], kind="query"))
    assert streamed == [expected]
    assert encoder("paris") != encoder.encode_query("paris")


def test_queries_go_through_the_model_where_there_is_no_table(bert):
    assert not bert.has_query_table
    assert bert.encode_query(TEXTS) == bert(TEXTS)


def test_a_query_model_without_its_table_is_refused(table, tmp_path):
    shutil.copytree(table[0], tmp_path / "onnx")
    (tmp_path / "onnx" / "idf.json").unlink()
    with pytest.raises(NotFoundError, match=r"has no idf\.json, and the queries of its model"):
        SparseEncoder(tmp_path / "onnx")


@pytest.mark.parametrize("content", ['{"paris": "much"}', '{"no such token": 1}'])
def test_a_damaged_table_is_refused(table, tmp_path, content):
    shutil.copytree(table[0], tmp_path / "onnx")
    (tmp_path / "onnx" / "idf.json").write_text(content)
    with pytest.raises(InputError, match="must give numbers to tokens of the tokenizer"):
        SparseEncoder(tmp_path / "onnx")


def test_a_folder_without_the_graph_names_the_command(tiny_model, tmp_path):
    model = tiny_model("bert")
    command = f"mlmfast export {model.checkpoint} {model.onnx} --task sparse --overwrite"
    with pytest.raises(NotFoundError, match=r"has no sparse\.onnx") as told:
        SparseEncoder(model.onnx)
    assert command in str(told.value)
    with pytest.raises(InputError, match=r"is a PyTorch checkpoint .* --task sparse"):
        SparseEncoder(model.checkpoint)
    with pytest.raises(NotFoundError, match=r"SparseEncoder reads .*--task sparse"):
        SparseEncoder(tmp_path / "nowhere")


def test_a_graph_of_another_version_is_refused(tiny_sparse, tmp_path):
    import onnx
    from onnx import helper

    folder = shutil.copytree(tiny_sparse("bert").onnx, tmp_path / "onnx")
    graph = onnx.load(folder / "sparse.onnx", load_external_data=False)
    helper.set_model_props(graph, {"mlmfast.format": "99"})
    (folder / "sparse.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(InputError, match="has the format '99'"):
        SparseEncoder(folder)


def test_the_same_folder_fills_masks(tiny_sparse):
    model = tiny_sparse("bert")
    assert FillMask(model.onnx)(f"paris is the {model.mask}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"threshold": -1}, "threshold must be a number from 0 on"),
        ({"threshold": float("nan")}, "threshold must be a number from 0 on"),
        ({"returns": "numpy"}, "returns must be one of dict, csr, arrow"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_bad_options_are_refused(bert, options, message):
    with pytest.raises(InputError, match=message):
        bert(TEXTS, **options)


def test_bad_texts_are_refused_or_returned(bert):
    with pytest.raises(InputError, match=r"Text 2 must be a string"):
        bert(["paris", 3])
    with pytest.raises(InputError, match=r"is a table: give the column"):
        bert(pa.table({"text": TEXTS}))
    found = list(bert.stream(["paris", None, "berlin"], on_error="return"))
    assert isinstance(found[1], InputError)
    assert found[0] == pytest.approx(bert("paris"), rel=KERNELS)
    with pytest.raises(InputError, match="read_ahead must be at least 1"):
        bert.stream(TEXTS, read_ahead=0)


def test_a_threshold_that_leaves_nothing_gives_empty_rows(bert):
    assert bert(TEXTS[:2], threshold=1e6) == bert(TEXTS[:2], threshold=1e300) == [{}, {}]
    assert bert(TEXTS[:2], threshold=1e6, returns="csr").nnz == 0
    assert (
        bert(TEXTS[:2], threshold=1e6, returns="arrow").to_pylist()
        == [{"ids": [], "weights": []}] * 2
    )


def test_the_real_model_gives_what_pytorch_gives(tmp_path):
    checkpoint = shared("models", "bert-tiny-splade")
    export(checkpoint, tmp_path / "onnx", task="sparse")
    texts = ["The weather is lovely today.", "How do planes fly?", "", "a" * 100 + " word " * 600]
    encoder = SparseEncoder(tmp_path / "onnx")
    found = encoder(texts, returns="csr", special_tokens=True)
    expected = expected_vectors(checkpoint, texts)
    np.testing.assert_allclose(found.toarray(), expected, atol=GRAPHS / 10)
    assert ((found.toarray() > 0) == (expected > 0)).mean() > 0.9999
    # It gives no special token a weight.
    assert (encoder(texts, returns="csr") != found).nnz == 0
    assert {"fly", "planes"} <= encoder("How do planes fly?", top_k=5).keys()
