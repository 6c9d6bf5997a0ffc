from __future__ import annotations

import bz2
import gzip
import io
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus import read
from mlmfast.data.sources.base import ReadOptions, bounded
from mlmfast.data.sources.open import open_sources, read_texts
from mlmfast.errors import InputError, NotFoundError

TEXTS = ["first", "", "zwei Äpfel", 'with "quotes", a comma\nand a line end', "東京 🦊", " blanks "]


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


# Plain text


HARD_LINES = (
    "a\rb\nc\x0bd\x0ce\u2028f\x85g\r\n\r\n h \nnul\0in\n\nÄ\r\r\nlast\n\n".encode(),
    b"no end",
    b"\n",
    b"\r",
    b"x\r\n",
    b"",
)


@pytest.mark.parametrize("content", HARD_LINES)
@pytest.mark.parametrize("batch_bytes", [1, 2, 3, 5, 1 << 20])
def test_lines_are_those_of_a_text_file(file, content, batch_bytes):
    path = file("a.txt", content)
    with Path(path).open(encoding="utf-8") as text:  # what datasets' text loader does
        expected = [line.rstrip("\n") for line in text]
    assert read(path, batch_bytes=batch_bytes) == expected


def test_lines_are_those_of_datasets(file, tmp_path):
    datasets = pytest.importorskip("datasets")
    path = file("a.txt", HARD_LINES[0])
    loaded = datasets.load_dataset("text", data_files=path, cache_dir=str(tmp_path / "cache"))
    assert read(path) == list(loaded["train"]["text"])


def test_a_byte_order_mark_is_no_text(file):
    assert read(file("a.txt", b"\xef\xbb\xbfone\ntwo\n")) == ["one", "two"]
    assert read(file("a.jsonl", b'\xef\xbb\xbf{"text": "one"}\n')) == ["one"]
    assert read(file("a.csv", b"\xef\xbb\xbftext\none\n")) == ["one"]
    with pytest.raises(InputError, match="UTF-16"):
        read(file("b.txt", "one\n".encode("utf-16")))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))),
    st.integers(1, 40),
)
def test_any_lines_come_back(tmp_path_factory, lines, batch_bytes):
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    expected = [lines[0].removeprefix("\ufeff"), *lines[1:]] if lines else []
    assert read(str(path), batch_bytes=batch_bytes) == expected


# Compression, names, order


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("gz", gzip.compress),
        ("bz2", bz2.compress),
        ("zst", lambda data: pa.compress(data, "zstd", asbytes=True)),
    ],
)
def test_packed_files_are_unpacked(file, suffix, pack):
    content = b"one\ntwo\n"
    assert read(file(f"a.txt.{suffix}", pack(content))) == ["one", "two"]
    # Several members one after the other are one file; a name may hide what is packed.
    assert read(file(f"b.txt.{suffix}", pack(content) + pack(content))) == ["one", "two"] * 2
    assert read(file(f"hidden-{suffix}.txt", pack(content))) == ["one", "two"]
    with pytest.raises(InputError, match="cut off or damaged"):
        read(file(f"c.txt.{suffix}", pack(content)[:-3]))
    with pytest.raises(InputError, match="as its name says"):
        read(file(f"d.txt.{suffix}", content))


def test_files_come_in_the_order_given_and_patterns_sorted(file, tmp_path):
    for name in ("b", "a", "c"):
        file(f"{name}.txt", name.encode())
    inputs = [str(tmp_path / "c.txt"), str(tmp_path / "*.txt")]
    assert read(inputs) == ["c", "a", "b", "c"]
    # A file that is called like a pattern is that file.
    assert read(file("x[1].txt", b"odd")) == ["odd"]


def test_folders_that_are_called_like_patterns(tmp_path):
    folder = tmp_path / "[v1]" / "a*"
    folder.mkdir(parents=True)
    for name in ("a.txt", "b.txt", "[c].txt"):
        (folder / name).write_text(f"{name}\n")
    assert read(f"{folder}/*.txt") == ["[c].txt", "a.txt", "b.txt"]
    assert read(f"{tmp_path}/[v1]/*/[ab].txt") == ["a.txt", "b.txt"]
    assert read(f"{folder}/[c].txt") == ["[c].txt"]
    with pytest.raises(NotFoundError, match="No file matches"):
        read(f"{folder}/*.csv")


def test_what_is_missing_is_named_before_anything_is_read(file, tmp_path):
    good = file("good.txt", b"x")
    with pytest.raises(NotFoundError, match=r"no file .*gone\.txt"):
        open_sources([good, str(tmp_path / "gone.txt")])
    with pytest.raises(NotFoundError, match=r"No file matches .*\*\.jsonl"):
        open_sources(str(tmp_path / "*.jsonl"))
    with pytest.raises(InputError, match="--format"):
        open_sources(file("mystery.dat", b"x"))
    with pytest.raises(InputError, match="is a folder"):
        open_sources(str(tmp_path))
    with pytest.raises(InputError, match="no input"):
        open_sources([])
    with pytest.raises(InputError, match="--limit"):
        open_sources(good, split="train")


def test_standard_input(monkeypatch):
    def pipe(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))

    pipe(b"one\ntwo\n")
    assert read("-", format="txt") == ["one", "two"]
    pipe(gzip.compress(b'{"text": "one"}\n'))
    assert read("-", format="jsonl") == ["one"]
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["one"]}), sink)
    pipe(sink.getvalue())
    assert read("-", format="parquet") == ["one"]
    with pytest.raises(InputError, match="--format"):
        open_sources("-")


# Invalid UTF-8


def test_invalid_utf8_is_an_error_that_names_the_line(file):
    path = file("a.txt", b"good\nb\xffd\nagain\n")
    with pytest.raises(InputError, match=r"a\.txt, line 2: invalid UTF-8, byte 0xff at position 2"):
        read(path, batch_bytes=3)
    assert read(path, policy="replace") == ["good", "b\ufffdd", "again"]
    assert read(path, policy="skip") == ["good", None, "again"]


@pytest.mark.parametrize("fault", [b'"b\xffd"', b'"b\\ud800d"'])
def test_invalid_utf8_in_json(file, fault):
    path = file("a.jsonl", b'{"text": "good"}\n{"text": ' + fault + b'}\n{"text": "x"}\n')
    with pytest.raises(InputError, match=r"line 2: .*--on-invalid-utf8"):
        read(path)
    assert read(path, policy="replace") == ["good", "b\ufffdd", "x"]
    assert read(path, policy="skip") == ["good", None, "x"]


def test_invalid_utf8_in_tables(file):
    column = pa.array([b"good", b"b\xffd"]).view(pa.string())
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": column}), sink)
    for path in (file("a.parquet", sink.getvalue()), file("a.csv", b"text\ngood\nb\xffd\n")):
        with pytest.raises(InputError, match="row 2"):
            read(path)
        assert read(path, policy="replace") == ["good", "b\ufffdd"]
        options = ReadOptions("text", "skip")
        assert [len(a) for a in read_texts(open_sources(path), options)] == [2]
        assert (options.skipped, options.replaced) == (1, 0)


# Tables


def test_csv_and_tsv(file):
    quoted = "".join('"{}",1\n'.format(text.replace('"', '""')) for text in TEXTS)
    assert read(file("a.csv", f"text,n\n{quoted}".encode())) == TEXTS
    assert read(file("a.tsv", b"n\ttext\n1\tone, two\n2\tNA\n")) == ["one, two", "NA"]
    assert read(file("empty.csv", b"")) == []
    with pytest.raises(InputError, match="Expected 2 columns, got 3"):
        read(file("b.csv", b"text,n\na,1\nb,2,3\n"))


def test_every_kind_of_arrow_string(tmp_path):
    kinds = [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
    ]
    for kind in kinds:
        column = pa.array([*TEXTS, None]).cast(kind)
        assert read(column) == [*TEXTS, None]
        assert read(column.slice(2)) == [*TEXTS[2:], None]
        table = pa.table({"id": range(len(column)), "text": column})
        assert read(table.slice(3)) == [*TEXTS[3:], None]
        path = tmp_path / "a.arrow"
        for opener in (pa.ipc.new_file, pa.ipc.new_stream):
            with opener(str(path), table.schema) as writer:
                writer.write_table(table, max_chunksize=2)
            assert read(str(path)) == [*TEXTS, None]


def test_sliced_and_null_lists_are_joined():
    lists = [["a", "b"], None, [], ["c", None, "d"], ["e"]]
    expected = ["a b", None, "", "c d", "e"]
    for kind in (pa.list_(pa.string()), pa.large_list(pa.string_view()), pa.list_view(pa.string())):
        column = pa.array(lists, kind)
        assert read(column) == expected
        assert read(column.slice(1, 3)) == expected[1:4]
    fixed = pa.array([["a", "b"], None, ["c", "d"]], pa.list_(pa.string(), 2))
    assert read(fixed) == ["a b", None, "c d"]
    assert read(fixed.slice(1)) == [None, "c d"]


def test_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [*TEXTS, None], "n": range(7)}), path, row_group_size=2)
    assert read(str(path)) == [*TEXTS, None]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="no whole Parquet file"):
        read(str(path))
    with pytest.raises(InputError, match="no whole Arrow file"):
        read(str(path), format="arrow")


def test_other_libraries_columns():
    assert read(pl.Series("text", TEXTS)) == TEXTS
    assert read(pl.DataFrame({"n": [1, 2], "text": ["a", "b"]})) == ["a", "b"]
    assert read([pa.chunked_array([["a"], ["b"]]), pl.Series(["c"])]) == ["a", "b", "c"]
    with pytest.raises(InputError, match="inputs must be paths"):
        read(3.5)


def test_batches_are_bounded():
    array = pa.array(["x" * 10] * 100 + ["y" * 5000] + ["z"] * 10, pa.large_string()).slice(5)
    parts = list(bounded(array, 500))
    assert pa.concat_arrays(parts).equals(array)
    assert all(part.nbytes <= 500 + 8 * len(part) + 8 or len(part) == 1 for part in parts)


# Data sets


def test_datasets_folders_and_objects(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"n": list(range(10)), "text": [f"t{n}" for n in range(10)]})
    picked = rows.select([7, 3, 5])
    assert read(picked) == ["t7", "t3", "t5"]
    picked.save_to_disk(str(tmp_path / "one"))
    assert read(str(tmp_path / "one")) == ["t7", "t3", "t5"]
    assert read(str(tmp_path / "one"), split="train[1:]") == ["t3", "t5"]
    both = datasets.DatasetDict({"train": rows, "test": rows.select([0])})
    both.save_to_disk(str(tmp_path / "two"))
    for source in (both, str(tmp_path / "two")):
        assert read(source, split="train[:2]") == ["t0", "t1"]
        assert read(source, split="train[80%:]+test") == ["t8", "t9", "t0"]
        with pytest.raises(InputError, match="splits train, test: choose one with --split"):
            read(source)
        with pytest.raises(InputError, match=r"'dev\[:2\]' cannot be taken"):
            read(source, split="dev[:2]")
    assert read(None, dataset_name=str(tmp_path / "two"), split="test") == ["t0"]
    with pytest.raises(InputError, match=r"no column 'body'.*'n', 'text'"):
        read(rows, "body")


def test_a_data_set_that_is_nowhere(monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(NotFoundError, match="No data set 'nobody/nothing'"):
        read(None, dataset_name="nobody/nothing")
