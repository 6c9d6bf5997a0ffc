"""JSON that is no JSON lines, read as `datasets.load_dataset("json")` reads it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus import read
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.open import open_sources
from mlmfast.data.sources.sections import split_source
from mlmfast.errors import InputError

RECORDS = [{"n": 1, "text": 'a [b] {c}, "d"\\'}, {"x": [{"y": []}], "text": "e\nf"}, {"text": "g"}]
TEXTS = [record["text"] for record in RECORDS]
FORMS = {
    "list": json.dumps(RECORDS),
    "printed list": json.dumps(RECORDS, indent=2),
    "strings": json.dumps(TEXTS),
    "printed object": json.dumps(RECORDS[0], indent=2),
    "printed objects": "\n".join(json.dumps(record, indent=1) for record in RECORDS),
    "objects on a line": " ".join(map(json.dumps, RECORDS)),
    "an object, then printed ones": '{"text": "a"}{"text":"b"}\n{\n"text":"c"}\n',
}
FIELDS = {
    "field": {"data": RECORDS, "version": 1},
    "later field": {"version": {"data": [1]}, "x": "]", "data": RECORDS},
    "strings in a field": {"data": TEXTS},
}


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def library(path, tmp_path, **how):
    datasets = pytest.importorskip("datasets")
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset("json", data_files=path, cache_dir=cache, **how)
    return list(loaded["train"]["text"])


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_read_as_datasets_reads_them(file, tmp_path, form):
    path = file("a.json", FORMS[form])
    expected = library(path, tmp_path)
    for size in (1, 7, 1 << 20):
        assert read(path, batch_bytes=size) == expected
    assert read(file("a.json", "\ufeff \n" + FORMS[form])) == expected


@pytest.mark.parametrize("form", FIELDS)
@pytest.mark.parametrize("indent", [None, 1])
def test_a_field_is_read_as_datasets_reads_it(file, tmp_path, form, indent):
    path = file("a.json", json.dumps(FIELDS[form], indent=indent))
    expected = library(path, tmp_path, field="data")
    assert read(path, reading={"json_field": "data"}) == expected
    assert read(path, batch_bytes=1, reading={"json_field": "data"}) == expected


def test_a_list_within_one_record_is_told(file, caplog):
    path = file("a.json", json.dumps({"data": RECORDS}))
    assert len(read(path, "data.text")) == 1
    assert "one record, whose column 'data.text' is a list" in caplog.text
    assert "--json-field" in caplog.text
    caplog.clear()
    assert read(file("b.jsonl", '{"text": ["a", "b"]}\n{"text": ["c"]}\n')) == ["a b", "c"]
    assert read(file("c.jsonl", '{"text": "a"}\n')) == ["a"]
    assert not caplog.messages


@given(
    st.lists(
        st.recursive(
            st.none() | st.text('a"\\{}[],: \n'),
            lambda below: st.lists(below) | st.dictionaries(st.text("ab"), below),
            max_leaves=6,
        ),
        min_size=1,
    ),
    st.sampled_from([None, 0, 2]),
    st.integers(1, 9),
)
def test_any_values_keep_records_apart(tmp_path_factory, values, indent, size):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(
        json.dumps([{"x": value, "text": f"t{n}"} for n, value in enumerate(values)], indent=indent)
    )
    source = open_sources(str(path))[0]
    options = ReadOptions(batch_bytes=size)
    expected = [f"t{n}" for n in range(len(values))]
    pieces = list(source.pieces(options))
    assert [text for piece in pieces for text in piece.decode(options).to_pylist()] == expected
    last = source.pieces(options, pieces[-1].location)
    assert [text for piece in last for text in piece.decode(options).to_pylist()] == expected[-1:]


def test_what_is_broken_is_told_by_its_place(file):
    for content, words in (
        ('[{"text": "a"}\n{"text": "b"}]', "line 2: broken JSON: '{' where a comma"),
        ('[{"text": "a"},\n{"text": "b"}', "line 2: broken JSON: the file ends"),
        ('[{"text": "a"}]\n[]', "line 2: .* where the file's end"),
        ('[{"text": "a"}, {"text": b}]', "record 2: broken JSON"),
        ('[{"text": "a\n"}]', "line 1: broken JSON: a string holds a line end"),
        ('[[{"text": "a"}]]', "record 1: every record must be a JSON object"),
        ("[1, 2]", "record 1: the column 'text' holds a number"),
        ('{"text": "a",\n"x": 1', "the file ends before"),
        ('{"text": "a"}\n{"text": "b"\n', "line 2: broken JSON"),
    ):
        with pytest.raises(InputError, match=words):
            read(file("a.json", content))
    for content, words in (
        ('{"train": [], "te\\u0073t": []}', "no field 'data'; its fields are train, test|\"data\""),
        ('{"data": {"text": ["a"]}}', 'line 1: the field "data" holds no list of records'),
        ('[{"text": "a"}]', "where an object should be"),
    ):
        with pytest.raises(InputError, match=words):
            read(file("a.json", content), reading={"json_field": "data"})


def test_only_lines_are_cut(file):
    records = [{"text": "a" * 50} for _ in range(20)]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    assert len(split_source(open_sources(file("a.jsonl", lines))[0], 100)) > 5
    assert (
        len(split_source(open_sources(file("a.json", json.dumps(records, indent=1)))[0], 100)) == 1
    )
    printed = "\n".join(json.dumps(record, indent=1) for record in records)
    assert len(split_source(open_sources(file("b.json", printed))[0], 100)) == 1
    field = ReadOptions(json_field="data")
    one = file("c.json", json.dumps({"data": records}) + "\n" * 200)
    assert len(split_source(open_sources(one)[0], 100, field)) == 1
