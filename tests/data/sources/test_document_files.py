"""Folders of plain documents, and files from which the text must be taken first."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import tarfile

import pytest

from corpus import read, tiny_tokenizer
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.document_files import DocumentFiles
from mlmfast.data.sources.labelled import read_labelled
from mlmfast.data.sources.open import open_sources
from mlmfast.data.sources.sections import split_source
from mlmfast.errors import InputError, NotFoundError

FILES = {
    "b.txt": b"\xef\xbb\xbffirst\r\nline two\n",
    "a": b"no suffix",
    "z/empty.md": b"",
    "z/packed.txt.xz": lzma.compress("Äpfel\nfür".encode()),
    "z/1/deep.txt.gz": gzip.compress(b"deep"),
    "c/x.py": b"print()\n",
    ".hidden": b"hidden",
    "z/.git/config": b"hidden",
    "z/.DS_Store": b"\0\xff",
}
# The files of a folder before its subfolders.
TEXTS = ["no suffix", "first\nline two\n", "print()\n", "", "Äpfel\nfür", "deep"]


def documents(inputs, **how):
    return read(inputs, format="document", **how)


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "corpus"


@pytest.mark.parametrize("batch_bytes", [1, 30, 1 << 20])
def test_a_file_is_a_document(folder, batch_bytes):
    assert documents(folder, batch_bytes=batch_bytes) == TEXTS


def test_the_documents_are_those_of_datasets(folder):
    datasets = pytest.importorskip("datasets")
    files = [str(folder / name) for name in ("a", "b.txt", "c/x.py")]
    rows = datasets.load_dataset("text", data_files=files, sample_by="document", split="train")
    assert [text.removeprefix("\ufeff") for text in rows["text"]] == TEXTS[:3]


def test_files_and_patterns(folder):
    assert documents(folder / "b.txt") == TEXTS[1:2]
    assert documents(str(folder / "**" / "*.*")) == [
        "first\nline two\n",
        *TEXTS[2:3],
        "deep",
        *TEXTS[3:5],
    ]
    files = [str(folder / name) for name in ("z/empty.md", "a", "b.txt")]
    (source,) = open_sources(files, format="document")
    assert isinstance(source, DocumentFiles)
    assert source.name == f"{files[0]} and 2 more"
    assert documents(files) == ["", *TEXTS[:2]]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_the_files_of_an_archive(folder, tmp_path, mode):
    path = tmp_path / "corpus.tar"
    with tarfile.open(path, mode) as tar:
        tar.add(folder, "corpus")
    assert documents(path, batch_bytes=30) == TEXTS
    (source,) = open_sources(path, format="document")
    options = ReadOptions(batch_bytes=12)
    pieces = list(source.pieces(options))
    assert len(pieces) > 2
    again = source.pieces(options, json.loads(json.dumps(pieces[1].location)))
    texts = [text for one in again for text in one.decode(options).to_pylist()]
    assert texts == TEXTS[len(pieces[0].decode(options)) :]


def test_every_piece_can_be_the_first(folder):
    (source,) = open_sources(folder, format="document")
    options = ReadOptions(batch_bytes=20)
    pieces = list(source.pieces(options))
    assert len(pieces) > 2
    assert pieces[-1].position == source.size
    done = 0
    for piece in pieces:
        again = source.pieces(options, json.loads(json.dumps(piece.location)))
        assert [t for one in again for t in one.decode(options).to_pylist()] == TEXTS[done:]
        done += len(piece.decode(options))


def test_files_are_sections(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (source,) = open_sources("corpus", format="document")
    sections = split_source(source, 40)
    assert len(sections) > 2
    monkeypatch.chdir("/")  # as in another process
    options = ReadOptions()
    pieces = [piece for section in sections for piece in section.pieces(options)]
    assert [text for piece in pieces for text in piece.decode(options).to_pylist()] == TEXTS


def test_the_fingerprint_follows_every_file(folder):
    def fingerprint():
        return open_sources(folder, format="document")[0].fingerprint()

    before = fingerprint()
    assert before == fingerprint() is not None
    os.utime(folder / "a", ns=(1, 1))
    changed = fingerprint()
    assert changed != before
    (folder / "a").rename(folder / "a2")
    assert fingerprint() not in (before, changed)


def test_a_store_of_documents(folder, tmp_path):
    options = {"tokenizer": tiny_tokenizer(), "block_size": 4, "remainder": "pad"}
    one = run_prepare(folder, tmp_path / "one", PrepareOptions(format="document", **options))
    right = TEXTS
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in right))
    two = run_prepare(tmp_path / "lines.jsonl", tmp_path / "two", PrepareOptions(**options))
    assert one.documents == len(TEXTS)
    assert (one.stores["train"][:] == two.stores["train"][:]).all()
    with pytest.raises(InputError, match="lies in the output"):
        run_prepare(
            [str(tmp_path / "one" / name) for name in ("mlmfast.json", "tokenizer.json")],
            tmp_path / "one",
            PrepareOptions(format="document", overwrite=True, **options),
        )


def test_training_on_a_folder_of_documents(folder):
    from mlmfast.training.text_data import _files  # which loads torch

    assert _files(str(folder), "document") == [str(folder)]


def test_what_has_no_columns(folder):
    with pytest.raises(InputError, match=r"has no columns \(document\).* --test-by"):
        documents(folder, reading={"group_column": "site"})
    with pytest.raises(InputError, match=r"has no columns \(document\), so no labels"):
        read_labelled(folder, "label", ReadOptions(), format="document")


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("page.html", "trafilatura"),
        ("page.HTM.gz", "trafilatura"),
        ("crawl.warc.gz", "trafilatura"),
        ("paper.pdf", "docling"),
        ("letter.docx", "docling or pandoc"),
        ("book.epub", "docling or pandoc"),
    ],
)
def test_other_documents_name_a_tool(folder, tmp_path, name, tool):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"x") if name.endswith(".gz") else b"x")
    with pytest.raises(InputError, match=rf"{path.name}.*first, for example with .*{tool}"):
        read(path)
    path.rename(folder / "c" / name)
    with pytest.raises(InputError, match=rf"{path.name}.*{tool}.* name the files .*\*\*/\*\.txt"):
        documents(folder)
    # Whoever names the file and its format wants its source.
    if "html" in name:
        assert documents(folder / "c" / name) == ["x"]


def test_what_is_wrong_is_named(folder, tmp_path):
    (folder / "c" / "bad.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"c/bad\.txt: invalid UTF-8"):
        documents(folder)
    assert documents(folder, policy="skip")[2] is None
    (folder / "c" / "bad.txt").write_bytes(b"%PDF-1.7")
    with pytest.raises(InputError, match=r"bad\.txt' is a PDF: .*docling"):
        documents(folder)
    with tarfile.open(folder / "c" / "bad.txt", "w") as tar:
        member = tarfile.TarInfo("a")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"a"))
    with pytest.raises(InputError, match=r"bad\.txt' is a tar archive"):
        documents(folder)
    (folder / "c" / "bad.txt").rename(folder / "c" / "bad.gz")
    with pytest.raises(InputError, match="no gzip file"):
        documents(folder)
    (folder / "c" / "bad.gz").unlink()
    (source,) = open_sources(folder, format="document")
    (piece,) = source.pieces(ReadOptions())
    (folder / "a").unlink()
    with pytest.raises(NotFoundError, match=r"no file .* any more"):
        piece.decode(ReadOptions())
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no file in the folder"):
        documents(tmp_path / "none")
    with pytest.raises(InputError, match="--format document"):
        read(folder)
