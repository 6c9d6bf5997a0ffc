"""ONNX folders that cannot be served, and what is said about them."""

from __future__ import annotations

import shutil

import pytest

from mlmfast.errors import InputError, NotFoundError
from mlmfast.serving.fill_mask import FillMask


def test_folders_that_cannot_be_served(tiny_model, tmp_path):
    model = tiny_model("bert")
    with pytest.raises(NotFoundError, match="no folder"):
        FillMask(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is a file"):
        FillMask(model.onnx / "model.onnx")
    with pytest.raises(NotFoundError, match=r"no model\.onnx"):
        FillMask(tmp_path)
    with pytest.raises(InputError, match=r"PyTorch checkpoint.*mlmfast export"):
        FillMask(model.checkpoint)

    folder = shutil.copytree(model.onnx, tmp_path / "onnx")
    graph = (folder / "fill_mask.onnx").read_bytes()
    for broken in (b"", b"no protobuf at all", graph[: len(graph) // 2]):
        (folder / "fill_mask.onnx").write_bytes(broken)
        with pytest.raises(InputError, match="cut short"):
            FillMask(folder)
    (folder / "fill_mask.onnx").write_bytes(graph)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is not valid JSON"):
        FillMask(folder)
    shutil.copy(model.onnx / "config.json", folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json is no tokenizer"):
        FillMask(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(NotFoundError, match=r"no tokenizer\.json"):
        FillMask(folder)


def test_a_tokenizer_of_another_model_is_noticed(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model("bert").onnx, tmp_path / "onnx")
    for file in tiny_model("roberta").onnx.glob("*token*"):
        shutil.copy(file, folder)
    with pytest.raises(InputError, match="belongs to another model"):
        FillMask(folder)("galaxy spiral contains <mask>")
