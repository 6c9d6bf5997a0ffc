"""sparse.onnx: what it takes, what it gives, and that no logits exist as a whole in it."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from mlmfast.errors import InputError
from mlmfast.exporting.checkpoint import load_checkpoint, quiet
from mlmfast.exporting.export import export
from mlmfast.exporting.parity.logits import Reference, open_graph, random_inputs
from mlmfast.exporting.parity.sparse import expected_weights
from mlmfast.exporting.sparse import pooled_head
from mlmfast.exporting.sparse.definition import SparseDefinition
from mlmfast.exporting.sparse.graph import SPARSE, write_sparse_graph
from sparse_models import save_modules
from tiny_models import KINDS, save_checkpoint
from tolerances import KERNELS

DEFINITIONS = [
    SparseDefinition(pooling, activation)
    for pooling in ("max", "sum")
    for activation in ("relu", "log1p_relu")
]


def ask(session, inputs, *, top_k=0, threshold=0.0, keep_special=True):
    taken = {entry.name for entry in session.get_inputs()}
    feed = {name: value for name, value in inputs.items() if name in taken}
    feed |= {
        "top_k": np.array(top_k),
        "threshold": np.array(threshold, np.float32),
        "keep_special": np.array(keep_special),
    }
    counts, ids, weights = session.run(["counts", "ids", "weights"], feed)
    ends = np.cumsum(counts)[:-1]
    return list(zip(np.split(ids, ends), np.split(weights, ends), strict=True))


def dense(vectors, vocab_size):
    matrix = np.zeros((len(vectors), vocab_size), np.float32)
    for row, (ids, weights) in enumerate(vectors):
        matrix[row, ids] = weights
    return matrix


def traced(kind, folder, definition=None):
    """A tiny model: its checkpoint, the session of its sparse.onnx, and how it was built."""
    with quiet():
        checkpoint = load_checkpoint(save_checkpoint(kind, folder / "checkpoint"))
        built = write_sparse_graph(
            checkpoint.model,
            folder / SPARSE,
            definition or SparseDefinition(),
            vocab_size=checkpoint.model.config.vocab_size,
            special_ids=checkpoint.tokenizer.all_special_ids,
        )
    return checkpoint, open_graph(folder / SPARSE), built


def reference(checkpoint, batch, length):
    import torch

    inputs = random_inputs(checkpoint, batch, length, padded=True)
    if checkpoint.model.config.model_type != "bert":
        inputs.pop("token_type_ids")
    inputs.pop("position_ids")
    with torch.inference_mode():
        given = {name: torch.from_numpy(value) for name, value in inputs.items()}
        logits = checkpoint.model(**given).logits.numpy()
    return Reference(inputs, logits, inputs["attention_mask"].astype(bool), padded=True)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    checkpoint, session, _ = traced("roberta", tmp_path_factory.mktemp("roberta"))
    inputs = reference(checkpoint, 4, 21).inputs
    return checkpoint, session, inputs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: f"{d.pooling}-{d.activation}")
def test_weights_are_those_of_the_checkpoint_without_padding(
    tmp_path, monkeypatch, kind, definition
):
    monkeypatch.setattr(pooled_head, "BLOCK", 64)  # several blocks of a small vocabulary
    checkpoint, session, built = traced(kind, tmp_path, definition)
    assert built.in_blocks
    known = reference(checkpoint, 4, 21)
    expected = expected_weights(known, definition)
    found = dense(ask(session, known.inputs), expected.shape[1])
    # A sum has a term for each token.
    scale = 21 if definition.pooling == "sum" else 1
    np.testing.assert_allclose(found, expected, rtol=KERNELS, atol=2 * scale * KERNELS)


def test_padding_on_the_left_has_no_weight_either(tmp_path):
    import torch

    checkpoint, session, _ = traced("distilbert", tmp_path)
    inputs = reference(checkpoint, 3, 12).inputs
    turned = {name: value[:, ::-1].copy() for name, value in inputs.items()}
    with torch.inference_mode():
        given = {name: torch.from_numpy(value) for name, value in turned.items()}
        logits = checkpoint.model(**given).logits.numpy()
    known = Reference(turned, logits, turned["attention_mask"].astype(bool), padded=True)
    assert not known.real[2, 0]
    expected = expected_weights(known, SparseDefinition())
    found = dense(ask(session, turned), logits.shape[-1])
    np.testing.assert_allclose(found, expected, rtol=KERNELS, atol=2 * KERNELS)


def test_ids_ascend_and_every_weight_is_above_zero(roberta):
    _, session, inputs = roberta
    for ids, weights in ask(session, inputs):
        assert (np.diff(ids) > 0).all()
        assert (weights > 0).all()


def test_top_k_takes_the_heaviest_words_of_each_text(roberta):
    _, session, inputs = roberta
    every = ask(session, inputs)
    for k in (1, 3, 10_000):
        for (ids, weights), (all_ids, all_weights) in zip(
            ask(session, inputs, top_k=k), every, strict=True
        ):
            heaviest = np.sort(all_ids[np.argsort(-all_weights, kind="stable")[:k]])
            assert ids.tolist() == heaviest.tolist()
            np.testing.assert_array_equal(weights, all_weights[np.isin(all_ids, heaviest)])


def test_a_threshold_is_exceeded_and_may_leave_nothing(roberta):
    _, session, inputs = roberta
    every = ask(session, inputs)
    border = float(np.median(np.concatenate([weights for _, weights in every])))
    for (ids, weights), (all_ids, all_weights) in zip(
        ask(session, inputs, threshold=border), every, strict=True
    ):
        assert ids.tolist() == all_ids[all_weights > np.float32(border)].tolist()
        assert (weights > np.float32(border)).all()
    assert [len(ids) for ids, _ in ask(session, inputs, threshold=1e6)] == [0, 0, 0, 0]
    both = ask(session, inputs, threshold=border, top_k=2)
    assert all(len(ids) <= 2 for ids, _ in both)


def test_special_tokens_have_no_weight_unless_asked_for(roberta):
    checkpoint, session, inputs = roberta
    special = set(checkpoint.tokenizer.all_special_ids)
    kept = {int(token) for ids, _ in ask(session, inputs) for token in ids}
    left = {int(token) for ids, _ in ask(session, inputs, keep_special=False) for token in ids}
    assert special & kept
    assert not special & left
    assert left == kept - special
    # They take no place among the heaviest either.
    best = ask(session, inputs, top_k=5, keep_special=False)
    assert all(len(ids) == 5 for ids, _ in best)


def test_no_tensor_of_the_graph_has_the_size_of_the_logits(tmp_path, monkeypatch):
    monkeypatch.setattr(pooled_head, "BLOCK", 64)
    folder = tmp_path / "model"
    folder.mkdir()
    traced("bert", folder)
    vocab_size = 150
    model = onnx.load(folder / SPARSE)
    names = [name for node in model.graph.node for name in node.output if "sparse/" not in name]
    for name in names:
        if name not in {entry.name for entry in model.graph.output}:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    ids = np.full((3, 20), 7)
    feed = {"input_ids": ids, "attention_mask": ids // 7, "token_type_ids": ids * 0}
    feed |= {
        "top_k": np.array(0),
        "threshold": np.array(0, np.float32),
        "keep_special": np.array(True),
    }
    values = session.run(names, feed)
    largest = max(np.size(value) for value in values)
    assert largest < 3 * 20 * vocab_size


def test_one_weight_that_is_no_number_is_seen(tmp_path):
    checkpoint, _, _ = traced("bert", tmp_path)
    import torch

    with torch.no_grad():
        checkpoint.model.get_output_embeddings().bias[5] = float("nan")
    with quiet():
        write_sparse_graph(
            checkpoint.model,
            tmp_path / "nan.onnx",
            SparseDefinition(),
            vocab_size=checkpoint.model.config.vocab_size,
            special_ids=(),
        )
    found = ask(open_graph(tmp_path / "nan.onnx"), reference(checkpoint, 2, 9).inputs)
    assert all(np.isnan(weights).any() for _, weights in found)


def test_an_export_adds_the_graph_with_the_weights_of_the_others(tiny_model, tmp_path):
    model = tiny_model("bert")
    report = export(model.checkpoint, tmp_path / "onnx", task="sparse")
    assert {"model.onnx", "fill_mask.onnx", SPARSE} == report.graphs.keys()
    assert report.graphs[SPARSE].head == "blocks of the vocabulary"
    assert all(c.difference < c.limit for c in report.graphs[SPARSE].comparisons)
    assert (report.sparse.pooling, report.sparse.queries) == ("max", "model")
    # The embedding is there once.
    before = (model.onnx / "model.onnx_data").stat().st_size
    assert (tmp_path / "onnx" / "model.onnx_data").stat().st_size == before
    written = json.loads((tmp_path / "onnx" / "export_report.json").read_text())
    assert written["sparse"]["activation"] == "relu"
    metadata = open_graph(tmp_path / "onnx" / SPARSE).get_modelmeta().custom_metadata_map
    assert (metadata["mlmfast.longest"], metadata["mlmfast.queries"]) == ("64", "model")


@pytest.mark.parametrize("precision", ["fp16", "int8", "int8-block"])
@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_lower_precisions_say_how_far_their_vectors_agree(
    tiny_model, tmp_path, monkeypatch, precision, pooling
):
    monkeypatch.setattr(pooled_head, "BLOCK", 64)
    checkpoint = save_modules(tiny_model("bert").checkpoint, tmp_path / "model", pooling)
    report = export(
        checkpoint, tmp_path / "onnx", task="sparse", precision=precision, min_agreement=0.9
    )
    found = report.sparse.judgement
    assert found.texts == 40
    # In half the bits nothing but rounding is lost; eight bits of random weights lose more.
    least = 0.999 if precision == "fp16" else 0.9
    assert found.cosine > least
    assert 0.5 < found.overlap <= 1
    # Its blocks are rows of a matrix that the other graphs have too, in this precision as well.
    without = export(checkpoint, tmp_path / "without", precision=precision, min_agreement=0)
    assert report.files["model.onnx_data"] == without.files["model.onnx_data"]


def test_a_model_without_a_head_is_refused(tmp_path, tiny_model):
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.manual_seed(0)
    model = tiny_model("bert")
    AutoModel.from_pretrained(model.checkpoint).save_pretrained(tmp_path / "headless")
    AutoTokenizer.from_pretrained(model.checkpoint).save_pretrained(tmp_path / "headless")
    with pytest.raises(InputError, match=r"holds BertModel, and a masked language model needs"):
        export(tmp_path / "headless", tmp_path / "onnx", task="sparse")
    assert not (tmp_path / "onnx").exists()


def test_an_unknown_task_is_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="task must be one of fill-mask, sparse"):
        export(tmp_path, tmp_path / "onnx", task="dense")
