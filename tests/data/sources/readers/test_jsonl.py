from __future__ import annotations

import io
import itertools
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus import jsonl, read
from mlmfast._core import json_strings
from mlmfast.errors import InputError


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


NESTED = [
    ("answers.text", {"answers": {"id": 1, "text": ["a", "b"]}}, "a b"),
    ("answers.text", {"answers": {"text": []}}, ""),
    ("answers.text", {"answers": {"text": ["a", None, "c"]}}, "a c"),
    ("answers.text", {"answers": [{"text": "a"}, {"text": "b", "score": 3}]}, "a b"),
    ("answers.text", {"answers": {"text": None}}, None),
    ("a.b.c", {"a": {"b": [{"c": ["x", "y"]}, {"c": ["z"]}]}}, "x y z"),
    ("dotted.name", {"dotted.name": "a", "dotted": {"name": "b"}}, "a"),
    ("text", {"text": [["a", "b"], ["c"]]}, "a b c"),
    ("text", {"text": "tab\t \u2028 \\u0000 🦊"}, "tab\t \u2028 \\u0000 🦊"),
]


@pytest.mark.parametrize(("column", "record", "expected"), NESTED)
def test_nested_fields_are_reached_and_joined(file, column, record, expected):
    # The same by Arrow's parser, by Python's (the blank line makes Arrow's step aside), by Parquet.
    assert read(file("fast.jsonl", jsonl(record, record)), column) == [expected] * 2
    assert read(file("slow.jsonl", jsonl(record) + b"\n" + jsonl(record)), column) == [expected] * 2
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([record]), sink)
    if expected is not None:
        assert read(file("a.parquet", sink.getvalue()), column) == [expected]


def test_records_may_differ_from_each_other(file):
    path = file(
        "a.jsonl",
        jsonl({"x": 1}, {"text": "a", "x": "s"}, {"text": None}, {"text": ["b", "c"]}, {"y": {}}),
    )
    for batch_bytes in (1, 60, 1 << 20):
        if batch_bytes == 1:
            # The first piece decides whether the column is there at all.
            with pytest.raises(InputError, match="no column 'text'"):
                read(path, batch_bytes=batch_bytes)
        else:
            assert read(path, batch_bytes=batch_bytes) == [None, "a", None, "b c", None]


def test_broken_json_is_named_by_its_line(file):
    good = jsonl({"text": "a"})
    for bad in (b'{"text": "a"', b'{"text": "a"}}', b'{"text": "a"} {"text": "b"}', b"nonsense"):
        with pytest.raises(InputError, match=r"a\.jsonl, line 4: broken JSON"):
            read(file("a.jsonl", good + b"\n" + good + bad + b"\n" + good))
        with pytest.raises(InputError, match="line 4"):
            read(file("a.jsonl", good + b"\n" + good + bad + b"\n" + good), batch_bytes=16)
    with pytest.raises(InputError, match="line 1: every line must be a JSON object"):
        read(file("a.jsonl", b'"just text"\n'))
    with pytest.raises(InputError, match="record 2: broken JSON"):
        read(file("a.json", b'[\n  {"text": "a"},\n  {"text": b}\n]\n'))


def test_an_unknown_column_is_told_with_those_there_are(file):
    path = file("a.jsonl", jsonl({"title": "t", "answers": {"id": 1, "text": ["a"]}}))
    with pytest.raises(InputError, match=r"'body'.*'title', 'answers.id', 'answers.text'"):
        read(path, "body")
    with pytest.raises(InputError, match=r"'answers.txt'.*'answers.text'"):
        read(path, "answers.txt")
    table = pa.table({"title": ["t"], "answers": [{"id": 1, "text": ["a"]}]})
    for column in ("body", "answers.txt"):
        with pytest.raises(InputError, match=r"'title', .*'answers.text'|'answers.text'"):
            read(table, column)
    with pytest.raises(InputError, match=r"'x', 'y'"):
        read(file("a.csv", b"x,y\n1,2\n"), "text")


@pytest.mark.parametrize("value", [3, 2.5, True, {"a": 1}, [1]])
def test_what_is_no_text_is_refused(file, value):
    path = file("a.jsonl", jsonl({"text": "a"}, {"text": value}))
    with pytest.raises(InputError, match="line 2: the column 'text' holds"):
        read(path)
    with pytest.raises(InputError, match="'text'"):
        read(pa.table({"text": [value]}))


SCRAPS = st.sampled_from(
    [
        *'{}[]:,"\\ \t\r\n0e-.',
        *["null", '"text"', '"a"', "\\u0041", "\\ud83e\\udd8a", "\\ud800", "\\n", "NaN", "1"],
        *["ä", "\x0b", "\x1f", "\ufeff", "true", '{"text": "b"}', '"x": ', "[1, {}]"],
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "text", ""]), inner),
    max_leaves=5,
)
LINES = st.one_of(
    st.fixed_dictionaries({"text": st.none() | st.text()}).map(json.dumps),
    st.builds(
        lambda record, escaped, blank: json.dumps(record, ensure_ascii=escaped) + blank,
        st.dictionaries(st.sampled_from(["text", "b", "ü"]), VALUES),
        st.booleans(),
        st.sampled_from(["", " ", "\r", "\t\r"]),
    ),
    st.lists(SCRAPS, max_size=12).map("".join),
)


@given(lines=st.lists(LINES, max_size=6), at=st.integers(0), scrap=SCRAPS | st.just(""))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_core_reads_what_pythons_parser_reads(lines, at, scrap):
    data = "\n".join(lines)
    at %= len(data) + 1
    data = (data[:at] + scrap + data[at:]).encode("utf-8", "surrogatepass")
    found = json_strings(data, ["text"])
    if found is None:
        return
    offsets, values, nulls = (part.tolist() for part in found)
    read = [bytes(values[a:b]).decode() for a, b in itertools.pairwise(offsets)]
    read = [None if row in nulls else text for row, text in enumerate(read)]
    records = [json.loads(line) for line in data.split(b"\n") if line.strip()]
    assert read == [record.get("text") for record in records]


def test_the_core_reads_all_that_is_usual(file):
    texts = ["", "a", "ä\u2028\x00\x7f", 'tab\t quote" back\\slash / \r\n', "🦊", None]
    records = [{"id": 1.5e-3, "text": text, "tags": ["a", {"text": 1}]} for text in texts]
    for escaped in (True, False):
        lines = [json.dumps(record, ensure_ascii=escaped) for record in records]
        for end in ("\n", "\r\n", " \n\n"):
            data = end.join([*lines, json.dumps({"x": None})]).encode()
            assert json_strings(data, ["text"]) is not None
            assert read(file("a.jsonl", data)) == [*texts, None]
