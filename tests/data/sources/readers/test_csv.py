"""CSV and TSV as pandas, and so `datasets`, reads them."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus import read
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.open import open_sources
from mlmfast.errors import InputError

STRAY = 'text\n"one\ntwo\nthree"\nfour\n"five\nsix"\n'
FORMS = (
    STRAY,
    'text\na"b"c\n"x"y"z"\n',
    "text\na\n\n  \nb\n",
    "id,text\n1,a\n2\n3,c\n",
    "text\ra\rb\r",
    'text\r\n"a\r\nb"\r\nc\r\n',
    'id,text\n1, "a"\n2,"b" \n',
    'text\n"a""b"\n""\n"""q"""\n',
    "text\nNA\nx",
    "id,text\n1,",
    '\n\nid,text\n1,"last"',
    'text,n\n"a,b",1\n',
)


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def pandas(text, **how):
    """Read as `datasets` does; but what stands for nothing there ("NA") is text here."""
    table = pd.read_csv(io.StringIO(text, newline=""), dtype=str, na_filter=False, **how)
    return list(table["text"])


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_rows_are_those_of_pandas(file, text, size, monkeypatch):
    monkeypatch.setattr("mlmfast.data.sources.readers.csv._HEADER_BYTES", 12)
    found = read(file("a.csv", text), batch_bytes=max(size, 12))
    assert [one or "" for one in found] == pandas(text)


@given(
    st.lists(st.tuples(*2 * [st.text('a"\n\r,\t é', max_size=6)]), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 9),
)
def test_what_a_writer_wrote_comes_back(tmp_path_factory, rows, end, size):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerows([("n", "text"), *rows])
    source = open_sources(str(path))[0]
    options = ReadOptions(batch_bytes=size)
    pieces = list(source.pieces(options))
    assert [text for piece in pieces for text in piece.decode(options).to_pylist()] == [
        text for _, text in rows
    ]
    for piece in pieces:  # and from each location on
        rest = [
            text
            for other in source.pieces(options, piece.location)
            for text in other.decode(options).to_pylist()
        ]
        assert rest == [text for _, text in rows][max(0, piece.location["row"]) :]


def test_fields_over_lines_are_told_by_their_lines(file, caplog):
    path = file("a.csv", STRAY)
    assert read(path) == ["one\ntwo\nthree", "four", "five\nsix"]
    (told,) = caplog.messages
    assert "lines 2, 6 are closed on a later line: these 2 fields" in told
    assert "--csv-quoting none" in told
    caplog.clear()
    tsv = file("a.tsv", 'n\ttext\n1\t5" pipe\n2\t"one\n3\ttwo"\n')
    assert read(tsv, reading={"csv_quoting": "none"}) == ['5" pipe', '"one', 'two"']
    assert read(path, reading={"csv_quoting": csv.QUOTE_NONE}) == pandas(STRAY, quoting=3)
    assert not caplog.messages
    assert read(file("b.csv", 'text\n"a ""quoted"" word, and a comma"\n')) != []
    assert not caplog.messages


def test_quotes_that_are_never_closed(file):
    path = file("a.csv", 'text\nfine\n"one\ntwo\nthree\n')
    with pytest.raises(InputError, match=r"open on line 3 are never closed.*--csv-quoting none"):
        read(path)
    with pytest.raises(InputError, match=r"Expected 2 columns, got 3 in the row .* line 2"):
        read(file("b.csv", 'n,text\n1,"a\nb",c\n'))


def test_other_delimiters(file):
    path = file("a.csv", "n;text\n1;a,b\n")
    assert read(path, reading={"csv_delimiter": ";"}) == ["a,b"]
    assert read(file("b.csv", "n\ttext\n1\ta\n"), reading={"csv_delimiter": "\\t"}) == ["a"]
    for wrong in ("", ";;", '"', "é", 3):
        with pytest.raises(InputError, match="csv_delimiter must be"):
            ReadOptions(csv_delimiter=wrong)
    for wrong in ("all", True, 7, None):
        with pytest.raises(InputError, match="csv_quoting must be"):
            ReadOptions(csv_quoting=wrong)


def test_short_rows_are_told(file, caplog):
    assert read(file("a.csv", "n,text\n1,a\n2\n3,c\n")) == ["a", None, "c"]
    assert "fewer fields than in the header on line 3" in caplog.text


def test_utf16_is_told(file):
    for name in ("a.csv", "a.tsv"):
        with pytest.raises(InputError, match="iconv -f UTF-16"):
            read(file(name, "text\none and more\n".encode("utf-16")))
        with pytest.raises(InputError, match="iconv -f UTF-16"):
            read(file(name, "text\none and more\n".encode("utf-16-le")))
