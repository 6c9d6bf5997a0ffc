"""The two graphs of a folder: the same answers, and files that are damaged or of another kind."""

from __future__ import annotations

import logging
import shutil

import pytest

from mlmfast.errors import InputError, NotFoundError
from mlmfast.serving.engine.graphs import FusedGraph
from mlmfast.serving.fill_mask import FillMask
from tiny_models import KINDS
from tolerances import GRAPHS

TEXTS = ["a {m}", "{m} is the {m} of france", "paris {m} " + "is far " * 20, "{m}{m}{m}"]


def without_fused(model, folder):
    copy = shutil.copytree(model.onnx, folder)
    (copy / "fill_mask.onnx").unlink()
    return copy


@pytest.mark.parametrize("kind", KINDS)
def test_both_graphs_answer_alike(tiny_model, tmp_path, kind, caplog):
    model = tiny_model(kind)
    fused = FillMask(model.onnx, device="cpu", threads=2)
    assert isinstance(fused._engine.graph, FusedGraph)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        plain = FillMask(without_fused(model, tmp_path / "onnx"), device="cpu", threads=2)
    assert "has no fill_mask.onnx" in caplog.text
    texts = [text.format(m=fused.mask_token) for text in TEXTS]
    for options in ({}, {"top_k": 1}, {"top_k": 0}, {"targets": ["paris", "is", "of"]}):
        for one, other in zip(fused(texts, **options), plain(texts, **options), strict=True):
            assert rows_of(one) == rows_of(other)
    assert fused.max_length == plain.max_length
    assert fused.score("paris is far") == pytest.approx(plain.score("paris is far"), rel=GRAPHS)
    assert [r["tokens"] for r in fused.fill(texts[1])] == [
        r["tokens"] for r in plain.fill(texts[1])
    ]


def rows_of(answer):
    rows = [row for part in answer for row in (part if isinstance(part, list) else [part])]
    return [(row["token"], round(row["score"], 3), row["sequence"]) for row in rows]


def test_a_lone_text_and_many_go_to_different_sessions_with_the_same_answers(tiny_model):
    fill_mask = FillMask(tiny_model("bert").onnx, device="cpu", threads=2)
    text = "paris is the [MASK] of france"
    alone = fill_mask(text)
    assert fill_mask._engine._single_core is None
    many = fill_mask([text] * 100)
    assert fill_mask._engine._single_core is not None
    assert rows_of(many[57]) == rows_of(alone)


def test_a_session_that_never_answered_is_not_kept_beside_the_other(tiny_model):
    fill_mask = FillMask(tiny_model("bert").onnx, device="cpu", threads=2)
    engine = fill_mask._engine
    text = "paris is the [MASK] of france"
    many = fill_mask([text] * 100)
    assert engine._all_cores is None
    assert rows_of(fill_mask([text, text])[1]) == rows_of(many[0])
    assert engine._all_cores is None
    assert rows_of(fill_mask(text)) == rows_of(many[0])
    assert engine._all_cores is not None


@pytest.mark.parametrize("name", ["fill_mask.onnx", "model.onnx"])
def test_a_graph_cut_short(tiny_model, tmp_path, name):
    folder = shutil.copytree(tiny_model("roberta").onnx, tmp_path / "onnx")
    if name == "model.onnx":
        (folder / "fill_mask.onnx").unlink()
    whole = (folder / name).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no graph"):
        (folder / name).write_bytes(content)
        with pytest.raises(InputError, match=r"cannot open.*--overwrite"):
            FillMask(folder)


def test_weights_that_are_missing_or_cut_short(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model("roberta").onnx, tmp_path / "onnx")
    data = max(
        (file for file in folder.iterdir() if file.suffix not in {".onnx", ".json", ".txt"}),
        key=lambda file: file.stat().st_size,
    )
    content = data.read_bytes()
    data.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="cannot open"):
        FillMask(folder)
    data.unlink()
    with pytest.raises(InputError, match=r"missing or cut short"):
        FillMask(folder)


def test_a_folder_without_tokenizer(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model("roberta").onnx, tmp_path / "onnx")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(NotFoundError, match=r"has no tokenizer\.json"):
        FillMask(folder)


def test_a_graph_of_a_later_format(tiny_model, tmp_path):
    import onnx

    folder = shutil.copytree(tiny_model("roberta").onnx, tmp_path / "onnx")
    graph = onnx.load(folder / "fill_mask.onnx", load_external_data=False)
    for entry in graph.metadata_props:
        if entry.key == "mlmfast.format":
            entry.value = "99"
    onnx.save(graph, folder / "fill_mask.onnx")
    with pytest.raises(InputError, match="'99'"):
        FillMask(folder)


def test_equal_scores_go_by_id(tiny_model, tmp_path):
    """Whatever the graph: of tokens that look alike to the model, the lowest ids come first."""
    import onnx
    from onnx import numpy_helper

    model = tiny_model("roberta")
    folders = [
        shutil.copytree(model.onnx, tmp_path / "fused"),
        without_fused(model, tmp_path / "plain"),
    ]
    for folder in folders:
        for file in folder.glob("*.onnx"):
            graph = onnx.load(file)
            for tensor in graph.graph.initializer:
                # The decoder is the embedding, whose last rows are made one.
                if tensor.name.endswith("word_embeddings.weight"):
                    values = numpy_helper.to_array(tensor).copy()
                    values[300:] = values[300]
                    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
                if tensor.name.endswith("lm_head.bias"):
                    values = numpy_helper.to_array(tensor).copy()
                    values[300:] = 99
                    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            onnx.save(graph, file)
        rows = FillMask(folder)("a <mask>", top_k=6)
        assert [row["token"] for row in rows] == [300, 301, 302, 303, 304, 305], folder
        assert len({row["score"] for row in rows}) == 1
