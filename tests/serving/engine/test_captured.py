"""CUDA graphs: their shapes, their memory and their proof, with the CPU in the place of the GPU."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mlmfast import FillMask
from mlmfast.errors import InputError, MlmfastError, NotFoundError
from mlmfast.exporting.export import export
from mlmfast.serving.engine import captured
from tolerances import GRAPHS

TEXTS = [
    "paris is the [MASK] of france",
    "the [MASK] way is a [MASK] galaxy that contains [MASK]",
    "berlin is a [MASK]",
]


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    """An ONNX folder with fill_mask_fixed.onnx."""
    output = tmp_path_factory.mktemp("captured") / "onnx"
    return export(tiny_model("bert").checkpoint, output, cuda_graphs=True).output


@pytest.fixture
def cpu(monkeypatch):
    """Let the CPU run what a GPU captures."""
    monkeypatch.setattr(captured, "DEVICE", "cpu")


def opened(folder, **options):
    return FillMask(folder, device="cpu", threads=1, cuda_graphs=True, **options)


def shapes(fill_mask):
    """The shapes that were captured."""
    return {*fill_mask._engine._captured._bound}


def assert_equal(found, expected):
    for mine, theirs in zip(rows(found), rows(expected), strict=True):
        assert mine["token"] == theirs["token"]
        assert mine["score"] == pytest.approx(theirs["score"], abs=GRAPHS)


def rows(answers):
    if isinstance(answers, dict):
        return [answers]
    return [row for part in answers for row in rows(part)]


@pytest.mark.usefixtures("cpu")
def test_the_answers_are_those_without(folder):
    plain, fill_mask = FillMask(folder, device="cpu"), opened(folder)
    before = shapes(fill_mask)  # that of the proof
    for texts in (TEXTS, TEXTS[:1], TEXTS * 9, TEXTS[::-1]):
        assert_equal(fill_mask(texts, top_k=10), plain(texts, top_k=10))
    assert len(shapes(fill_mask)) > len(before) > 0


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (TEXTS, {"top_k": 11}),
        (TEXTS, {"targets": ["paris", "galaxy"]}),
        (["paris " + "[MASK] " * 30], {}),
    ],
)
def test_what_no_captured_graph_answers_is_answered_as_without(folder, texts, options):
    fill_mask = opened(folder)
    before = shapes(fill_mask)
    assert_equal(fill_mask(texts, **options), FillMask(folder, device="cpu")(texts, **options))
    assert shapes(fill_mask) == before


@pytest.mark.usefixtures("cpu")
def test_threads_that_share_the_memory_of_a_shape_get_their_own_answers(folder):
    plain, fill_mask = FillMask(folder, device="cpu"), opened(folder)
    texts = [f"{word} is the [MASK]" for word in ("paris", "berlin", "france", "germany")] * 20
    with ThreadPoolExecutor(8) as pool:
        assert_equal(list(pool.map(fill_mask, texts)), plain(texts))


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("runs", [1, 3])
def test_a_replay_of_old_inputs_is_refused(folder, monkeypatch, runs):
    run, outputs = captured._Bound.run, []

    def stale(self, session, feed):
        if len(outputs) < runs:
            outputs.append(run(self, session, feed))
        return outputs[-1]

    monkeypatch.setattr(captured._Bound, "run", stale)
    with pytest.raises(MlmfastError, match=f"do not agree .* in run {runs + 1} of a shape"):
        opened(folder)


@pytest.fixture
def damaged(folder, tmp_path):
    """Such a folder whose fill_mask_fixed.onnx may be changed."""
    return shutil.copytree(folder, tmp_path / "damaged")


@pytest.mark.usefixtures("cpu")
def test_a_graph_with_other_weights_is_refused(damaged):
    import onnx
    from onnx import numpy_helper

    path = damaged / captured.FIXED
    model = onnx.load(path, load_external_data=False)
    biases = [each for each in model.graph.initializer if list(each.dims) == [32]]
    for each in biases:
        if not each.external_data:
            value = numpy_helper.to_array(each) + np.float32(1)
            each.CopyFrom(numpy_helper.from_array(value, each.name))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(MlmfastError, match=r"do not agree .* in run 1 .* Leave out cuda_graphs"):
        opened(damaged)


@pytest.mark.usefixtures("cpu")
def test_a_folder_without_the_graph_or_with_another_is_told(damaged, tiny_model):
    shutil.copy(damaged / "fill_mask.onnx", damaged / captured.FIXED)
    with pytest.raises(InputError, match="does not say how many tokens"):
        opened(damaged)
    with pytest.raises(NotFoundError, match="mlmfast export --cuda-graphs"):
        opened(tiny_model("bert").onnx)


def test_without_a_gpu_they_are_refused(folder):
    with pytest.raises(InputError, match="this runs on 'cpu'"):
        opened(folder)


@pytest.mark.usefixtures("cpu")
def test_batches_that_may_not_be_filled_up_are_refused(folder, damaged):
    with pytest.raises(InputError, match="batching='shared'"):
        opened(folder, batching="independent")
    (damaged / "fill_mask.onnx").unlink()
    with pytest.raises(InputError, match=r"needs fill_mask\.onnx"):
        opened(damaged)
