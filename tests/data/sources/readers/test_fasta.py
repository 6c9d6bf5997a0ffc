from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus import read
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.formats import format_of
from mlmfast.data.sources.open import open_sources
from mlmfast.data.sources.sections import split_source
from mlmfast.errors import InputError

HARD = (
    ";a comment, as Pearson's programs write it\r\n"
    ">sp|P1|ONE the first; > of them\r\nMKT\r\n\r\nAY*\r\n"
    ";in between\r\n>empty\r\n>two\n  acgtNN \n-ACG\tT\n>\nM\r>three\rLL\rGG\n>last"
)
RECORDS = ["MKTAY*", "", "acgtNN-ACGT", "M", "LLGG", ""]


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def reference(text):
    """Read FASTA line by line."""
    records = []
    for line in re.split(r"\r\n|\r|\n", text):
        if line.startswith(">"):
            records.append("")
        elif records and not line.startswith(";"):
            records[-1] += "".join(line.split())
    return records


@pytest.mark.parametrize("batch_bytes", [1, 2, 3, 7, 1 << 20])
def test_a_record_is_a_document(file, batch_bytes):
    assert reference(HARD) == RECORDS
    assert read(file("a.fasta", HARD), batch_bytes=batch_bytes) == RECORDS
    assert read(file("b.fa.gz", gzip.compress(HARD.encode()))) == RECORDS
    marked = b"\xef\xbb\xbf" + HARD.encode()
    assert read(file("c.fna", marked), batch_bytes=batch_bytes) == RECORDS
    headers = ">Prot\xe9ine\nMKT\n".encode("latin-1")  # no UTF-8, and not read
    assert read(file("d.faa", headers)) == ["MKT"]
    assert read(file("e.fa", "\n; nothing\n")) == []


def test_names_tell_the_format(tmp_path):
    for suffix in (".fasta", ".fa", ".faa", ".fna", ".ffn", ".frn", ".FA", ".fasta.gz", ".fa.zst"):
        assert format_of(tmp_path / f"a{suffix}") == "fasta"


def test_case_and_chunks(file):
    path = file("a.fa", HARD)
    assert read(path, reading={"fasta_case": "upper"}) == [text.upper() for text in RECORDS]
    for size in (1, 2, 3, 11, 99):
        cut = [[text[at : at + size] for at in range(0, len(text) or 1, size)] for text in RECORDS]
        for batch_bytes in (1, 5, 1 << 20):
            found = read(path, reading={"fasta_chunk": size}, batch_bytes=batch_bytes)
            assert found == [part for parts in cut for part in parts]
    with pytest.raises(InputError, match="fasta_case must be one of keep, upper; got 'lower'"):
        ReadOptions(fasta_case="lower")


LINES = st.one_of(
    st.sampled_from([">", ">a", ">b ;c", ";x", "", " "]),
    st.text("ACGTacgtn*- \t", max_size=12),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r"])), max_size=12),
    st.sampled_from([None, 1, 2, 5]),
    st.integers(1, 20),
)
def test_every_piece_and_section_begins_a_document(tmp_path_factory, lines, chunk, size):
    text = ">x\n" + "".join(map("".join, lines))
    path = tmp_path_factory.mktemp("fasta") / "a.fasta"
    path.write_bytes(text.encode())
    expected = [
        part
        for whole in reference(text)
        for part in (
            [whole[at : at + chunk] for at in range(0, len(whole) or 1, chunk)]
            if chunk
            else [whole]
        )
    ]
    source = open_sources(str(path))[0]
    options = ReadOptions(batch_bytes=size, fasta_chunk=chunk)

    def texts(pieces):
        return [text for piece in pieces for text in piece.decode(options).to_pylist()]

    pieces = list(source.pieces(options))
    assert texts(pieces) == expected
    done = 0
    for piece in pieces:
        assert texts(source.pieces(options, piece.location)) == expected[done:]
        done += len(piece.decode(options))
    sections = split_source(source, size, options)
    assert [text for part in sections for text in texts(part.pieces(options))] == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\nACGT\n>x\n", r"a\.fa, line 2: a FASTA file begins with a line such as '>name', not"),
        ("@r1\nACGT\n+\nIIII\n", r"a\.fa, line 1: '@' begins a record of FASTQ, not of FASTA"),
        (b"\x7fBAM\x01\0\0", r"a\.fa, line 1: byte 0x7f, where .* is this a binary file"),
        (">x\nMK\xc4\n", r"a\.fa, line 2: byte 0xc3, where a sequence has ASCII letters"),
        (">x\nACGT\n".encode("utf-16"), r"a\.fa' is UTF-16"),
    ],
)
def test_what_is_no_fasta_is_told(file, content, said):
    with pytest.raises(InputError, match=said):
        read(file("a.fa", content))


def test_the_records_are_those_of_biopython(file):
    parser = pytest.importorskip("Bio.SeqIO.FastaIO").SimpleFastaParser
    text = HARD.split("\r\n", 1)[1].replace(";in between\r\n", "")  # no comments in this dialect
    path = file("a.fa", re.sub(r"\r\n|\r", "\n", text).replace("\t", ""))
    with Path(path).open() as opened:
        assert read(path) == [sequence for _, sequence in parser(opened)]
