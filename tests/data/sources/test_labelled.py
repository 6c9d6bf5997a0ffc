"""Texts with labels: the same rows from every format, and errors that name the row."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.labelled import read_labelled
from mlmfast.errors import InputError

TEXTS = ["a first text", 'with "quotes", a comma\nand a line end', "東京"]
ROWS = [{"text": text, "label": label} for text, label in zip(TEXTS, ("no", "yes", "no"),
                                                              strict=True)]  # fmt: skip
OPTIONS = ReadOptions()


def csv_of(rows, delimiter=","):
    def field(value):
        return '"' + str(value).replace('"', '""') + '"'

    head = delimiter.join(rows[0])
    return "\n".join([head, *(delimiter.join(map(field, row.values())) for row in rows)]) + "\n"


def write(folder, rows, kind):
    path = folder / f"labels.{kind}"
    if kind == "csv":
        path.write_text(csv_of(rows), encoding="utf-8")
    elif kind == "tsv":
        path.write_text(csv_of(rows, "\t"), encoding="utf-8")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress(csv_of(rows).encode()))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with (
            pa.OSFile(str(path), "wb") as file,
            pa.ipc.new_file(file, pa.Table.from_pylist(rows).schema) as writer,
        ):
            writer.write_table(pa.Table.from_pylist(rows))
    return path


KINDS = ("csv", "tsv", "jsonl", "csv.gz", "parquet", "arrow")


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_rows(tmp_path, kind):
    found = read_labelled(str(write(tmp_path, ROWS, kind)), "label", OPTIONS)
    assert (found.texts, found.labels) == (TEXTS, ["no", "yes", "no"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("labels", "expected"),
    [((3, -1, 3), ["3", "-1", "3"]), ((2.5, 1.0, 1.0), ["2.5", "1.0", "1.0"])],
)
def test_numbers_are_labels(tmp_path, kind, labels, expected):
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=True)]
    found = read_labelled(str(write(tmp_path, rows, kind)), "label", OPTIONS)
    if kind in {"parquet", "arrow"}:  # Arrow writes 1.0 as 1
        expected = [one.removesuffix(".0") for one in expected]
        found = replace(found, labels=[one.removesuffix(".0") for one in found.labels])
    assert found.labels == expected


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_truth_values_are_labels(tmp_path, kind):
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, (True, False, True),
                                                                  strict=True)]  # fmt: skip
    found = read_labelled(str(write(tmp_path, rows, kind)), "label", OPTIONS)
    assert found.labels == ["true", "false", "true"]


def test_texts_must_not_be_numbers(tmp_path):
    path = write(tmp_path, [{"text": 3, "label": "a"}], "jsonl")
    with pytest.raises(InputError, match="not text"):
        read_labelled(str(path), "label", OPTIONS)


def test_blanks_around_a_label_are_no_part_of_it(tmp_path):
    rows = [{"text": "a", "label": " yes "}, {"text": "b", "label": "yes"}]
    found = read_labelled(str(write(tmp_path, rows, "csv")), "label", OPTIONS)
    assert found.labels == ["yes", "yes"]


def test_frames_tables_and_streams_are_read():
    for table in (
        pl.DataFrame(ROWS),
        pa.Table.from_pylist(ROWS),
        pa.RecordBatchReader.from_batches(
            pa.Table.from_pylist(ROWS).schema, pa.Table.from_pylist(ROWS).to_batches()
        ),
    ):
        assert read_labelled(table, "label", OPTIONS).labels == ["no", "yes", "no"]


def test_several_files_follow_one_another(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, ROWS, "csv")
    found = read_labelled(str(tmp_path / "*" / "labels.csv"), "label", OPTIONS)
    assert found.texts == TEXTS + TEXTS
    assert found.name.endswith("labels.csv and 1 more")


def test_class_labels_get_their_names(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    rows = {"text": TEXTS, "label": [1, 0, 1]}
    datasets.DatasetDict(
        {"train": datasets.Dataset.from_dict(rows, features), "other": datasets.Dataset.from_dict(
            {"text": ["x"], "label": [-1]}, features)}
    ).save_to_disk(tmp_path / "set")  # fmt: skip
    found = read_labelled(str(tmp_path / "set"), "label", OPTIONS, split="train")
    assert found.labels == ["good", "bad", "good"]
    with pytest.raises(InputError, match="row 1 has no label"):  # `datasets` means this by -1
        read_labelled(str(tmp_path / "set"), "label", OPTIONS, split="other")


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_label_is_named_by_its_row(tmp_path, kind):
    rows = [*ROWS, {"text": "no label", "label": "" if kind in {"csv", "tsv", "csv.gz"} else None}]
    path = write(tmp_path, rows, kind)
    with pytest.raises(InputError, match=r"row 4 has no label in the column 'label'"):
        read_labelled(str(path), "label", OPTIONS)


def test_a_missing_text_is_named_by_its_row(tmp_path):
    path = write(
        tmp_path, [ROWS[0], {"text": None, "label": "a"}, {"text": "", "label": "b"}], "jsonl"
    )
    with pytest.raises(InputError, match=r"2 rows \(2, 3\) have no text"):
        read_labelled(str(path), "label", OPTIONS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_column_is_named_with_those_that_exist(tmp_path, kind):
    path = write(tmp_path, ROWS, kind)
    with pytest.raises(InputError, match=r"'text', 'label'.*--label-column"):
        read_labelled(str(path), "topic", OPTIONS)
    with pytest.raises(InputError, match=r"'text', 'label'.*--text-column"):
        read_labelled(str(path), "label", ReadOptions(text_column="body"))


def test_lines_of_text_have_no_labels(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a\nb\n")
    with pytest.raises(InputError, match=r"has no columns \(txt\)"):
        read_labelled(str(path), "label", OPTIONS)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no pipes in folders")
def test_a_pipe_can_be_read_once_only(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(InputError, match="write it to one first"):
        read_labelled(str(tmp_path / "a.csv"), "label", OPTIONS)


def test_an_empty_table_is_an_error(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n")
    with pytest.raises(InputError, match="has no rows"):
        read_labelled(str(path), "label", OPTIONS)
