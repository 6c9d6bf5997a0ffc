"""What `FillMask` takes as texts, and in what form it answers, as the peer's pipeline does."""

from __future__ import annotations

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from transformers.pipelines.pt_utils import KeyDataset

from mlmfast.errors import InputError
from mlmfast.serving.fill_mask import FillMask
from tolerances import LAYERS


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model("bert")


@pytest.fixture(scope="module")
def fill_mask(model):
    return FillMask(model.onnx, device="cpu", threads=1)


TEXTS = [f"the {'far ' * number}[MASK] of paris" for number in range(7)]


@pytest.fixture(scope="module")
def answers(fill_mask):
    return [fill_mask(text) for text in TEXTS]


TABLE = datasets.Dataset.from_dict({"text": TEXTS, "number": list(range(7))})
LISTS = {
    "column of a Dataset": lambda: TABLE["text"],
    "tuple": lambda: tuple(TEXTS),
    "numpy": lambda: np.array(TEXTS),
    "numpy objects": lambda: np.array(TEXTS, dtype=object),
    "pyarrow": lambda: pa.array(TEXTS),
    "pyarrow chunks": lambda: pa.chunked_array([TEXTS[:3], TEXTS[3:]]),
    "polars": lambda: pl.Series(TEXTS),
}
SOURCES = {
    "generator": lambda: (text for text in TEXTS),
    "iterator": lambda: iter(TEXTS),
    "map": lambda: map(str, TEXTS),
    "column of an IterableDataset": lambda: TABLE.to_iterable_dataset()["text"],
    "KeyDataset": lambda: KeyDataset(TABLE, "text"),
    "KeyDataset of a list": lambda: KeyDataset([{"text": text} for text in TEXTS], "text"),
}


def same(left, right):
    """Batches of other texts give the same tokens, and scores but for rounding."""
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert [row["token"] for row in one] == [row["token"] for row in other]
        scores = [[row["score"] for row in rows] for rows in (one, other)]
        assert scores[0] == pytest.approx(scores[1], rel=LAYERS)


@pytest.mark.parametrize("kind", LISTS)
def test_columns_are_answered_as_a_list(fill_mask, answers, kind):
    found = fill_mask(LISTS[kind]())
    assert isinstance(found, list)
    same(found, answers)
    assert fill_mask.score(LISTS[kind]()[:0]) == []


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_sources_are_answered_while_they_are_read(fill_mask, answers, kind, batch_size):
    found = fill_mask(SOURCES[kind](), batch_size=batch_size)
    assert iter(found) is found
    if kind.startswith("KeyDataset"):
        assert len(found) == len(TEXTS)
    same(list(found), answers)
    same(list(fill_mask.stream(SOURCES[kind](), batch_size=batch_size)), answers)


def test_sources_are_read_no_further_than_needed(fill_mask):
    def endless():
        while True:
            yield TEXTS[0]

    found = fill_mask(map(str, endless()))
    assert next(found)[0].keys() == {"score", "token", "token_str", "sequence"}


@pytest.mark.parametrize("kind", ["column of a Dataset", "iterator", "KeyDataset"])
def test_fill_and_score_take_them_too(fill_mask, kind):
    source = {**LISTS, **SOURCES}[kind]
    assert fill_mask.fill(source(), top_k=1) == fill_mask.fill(TEXTS, top_k=1)
    plain = [text.replace("[MASK]", "capital") for text in TEXTS]
    assert fill_mask.score(iter(plain)) == fill_mask.score(plain)


def test_batch_size_bounds_the_rows_of_a_batch(model, answers, monkeypatch):
    fill_mask = FillMask(model.onnx, device="cpu", threads=1, batch_size=3)
    rows = []
    run_batch = fill_mask._engine.run_batch

    def counted(session, masked_texts, output_spec):
        rows.append(len(masked_texts))
        return run_batch(session, masked_texts, output_spec)

    monkeypatch.setattr(fill_mask._engine, "run_batch", counted)
    same(fill_mask(TEXTS), answers)
    assert rows == [3, 3, 1]
    rows.clear()
    same(fill_mask(TEXTS, batch_size=1), answers)
    assert rows == [1] * 7


def test_the_peer_answers_alike(model, fill_mask):
    from transformers import pipeline

    peer = pipeline("fill-mask", model=str(model.checkpoint), device="cpu", batch_size=2)
    for source in (KeyDataset(TABLE, "text"), list(TEXTS)):
        theirs, ours = peer(source, batch_size=2), fill_mask(source, batch_size=2)
        assert isinstance(theirs, list) == isinstance(ours, list)
        same(list(ours), list(theirs))
    # A column of one text was a list in datasets 3, which is answered as the text itself.
    assert fill_mask(TABLE.select([0])["text"])[0].keys() == peer([TEXTS[0]])[0].keys()


@pytest.mark.parametrize(
    "table",
    [TABLE, TABLE.to_iterable_dataset(), pa.table({"text": TEXTS}), pl.DataFrame({"text": TEXTS})],
    ids=["Dataset", "IterableDataset", "pyarrow", "polars"],
)
def test_a_table_is_told_to_name_its_column(fill_mask, table):
    for call in (fill_mask, fill_mask.fill, fill_mask.score):
        with pytest.raises(InputError, match=r"is a table: give the column .* table\['text'\]"):
            call(table)


@pytest.mark.parametrize("batch_size", [0, -2])
def test_a_batch_size_that_cannot_be(model, fill_mask, batch_size):
    with pytest.raises(InputError, match=f"batch_size must be at least 1, and is {batch_size}"):
        fill_mask(TEXTS, batch_size=batch_size)
    with pytest.raises(InputError, match="batch_size must be at least 1"):
        FillMask(model.onnx, batch_size=batch_size)
    with pytest.raises(TypeError):
        fill_mask(TEXTS, batch_size=1.5)
