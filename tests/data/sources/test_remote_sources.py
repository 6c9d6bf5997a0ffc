"""Text at URLs: on an S3 server of this machine, in memory, and broken off in the middle."""

from __future__ import annotations

import gzip
import io
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from corpus import documents, jsonl, tiny_tokenizer
from mlmfast.cli.stores.prepare import command
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.open import open_sources, read_texts
from mlmfast.errors import InputError, MissingDependencyError, NotFoundError
from s3_server import BUCKET, s3, s3_server  # noqa: F401 - fixtures

TEXTS = documents(300)
PART = 1 << 12
LINES = "".join(f"{text}\n" for text in TEXTS).encode()


def parquet(texts, **options):
    out = io.BytesIO()
    pq.write_table(pa.table({"other": texts, "text": texts}), out, **options)
    return out.getvalue()


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


FILES = {
    "a.txt": LINES,
    "b.jsonl.zst": pa.compress(
        jsonl(*({"text": text} for text in TEXTS)), "zstd", asbytes=True
    ),
    "c.jsonl.gz": gzip.compress(jsonl(*({"text": text} for text in TEXTS))),
    "d.parquet": parquet(TEXTS, row_group_size=40),
    "e.zip": zipped({"one.txt": LINES, "two.txt": LINES}),
    "sub/f.csv": ("text\n" + "".join(f'"{text}"\n' for text in TEXTS)).encode(),
}  # fmt: skip


def read(inputs, **options):
    arrays = read_texts(open_sources(inputs, **options), ReadOptions())
    return [text for array in arrays for text in array.to_pylist()]


def run(inputs, out, **more):
    options = {
        "tokenizer": tiny_tokenizer(), "block_size": 16, "shard_tokens": 500, "threads": 2, **more,
    }  # fmt: skip
    return run_prepare(inputs, out, PrepareOptions(**options))


def shards(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.arrow")}


@pytest.fixture
def memory():
    """A file system in memory, which fsspec has for tests."""
    import fsspec

    system = fsspec.filesystem("memory")
    for name, content in FILES.items():
        system.pipe_file(f"/corpus/{name}", content)
    yield system
    system.store.clear()


def write_files(folder):
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("name", FILES)
def test_every_format_reads_as_from_a_local_file(tmp_path, name):
    write_files(tmp_path)
    assert read(f"memory://corpus/{name}") == read(str(tmp_path / name))


def test_a_pattern_is_expanded_and_a_folder_is_read_with_all_below(memory):
    assert len(read("memory://corpus/*.jsonl*")) == 2 * len(TEXTS)
    assert len(read("memory://corpus")) == 7 * len(TEXTS)
    memory.pipe_file("/corpus/.hidden.txt", b"no\n")
    memory.pipe_file("/corpus/README", b"not text by its name\n")
    assert len(read("memory://corpus/")) == 7 * len(TEXTS)


def test_folders_of_documents_and_stores(memory):
    for number in range(3):
        memory.pipe_file(f"/books/{number}.txt", f"Book {number}\nin lines.\n".encode())
    assert read("memory://books", format="document") == [
        f"Book {number}\nin lines.\n" for number in range(3)
    ]
    memory.pipe_file("/blocks/train/mlmfast.json", b"{}")
    with pytest.raises(InputError, match="is a block store already"):
        open_sources("memory://blocks")


def test_what_is_not_there_and_what_has_no_format(memory):
    with pytest.raises(NotFoundError, match=r"nothing at 'memory://corpus/z\.txt'"):
        open_sources("memory://corpus/z.txt")
    with pytest.raises(NotFoundError, match=r"No file matches 'memory://corpus/\*\.md'"):
        open_sources("memory://corpus/*.md")
    memory.pipe_file("/odd/notes", b"x\n")
    with pytest.raises(InputError, match="does not tell its format: use --format"):
        open_sources("memory://odd/notes")
    with pytest.raises(InputError, match="No name of a file in 'memory://odd'"):
        open_sources("memory://odd")


def test_a_file_that_changes_while_it_is_read_is_an_error(memory):
    arrays = read_texts(open_sources("memory://corpus/a.txt"), ReadOptions(batch_bytes=1000))
    next(arrays)
    memory.pipe_file("/corpus/a.txt", LINES[:-1])
    with pytest.raises(InputError, match=r"memory://corpus/a\.txt' was changed while it was read"):
        list(arrays)


@pytest.mark.parametrize(
    ("url", "package"),
    [("s3://b/a.txt", "s3fs"), ("gs://b/a.txt", "gcsfs"), ("abfs://c@a/a.txt", "adlfs")],
)
def test_a_missing_package_is_named(monkeypatch, url, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingDependencyError, match=f"needs the package {package}: pip install"):
        open_sources(url)


def test_an_unknown_scheme_is_an_error():
    with pytest.raises(InputError, match=r"odd://b/a\.txt cannot be read .*s3://"):
        open_sources("odd://b/a.txt")


def test_prepare_from_s3_gives_the_bytes_of_a_local_run(s3, tmp_path):
    write_files(tmp_path / "local")
    for name, content in FILES.items():
        s3.put(f"corpus/{name}", content)
    names = ["a.txt", "b.jsonl.zst", "d.parquet"]
    run([str(tmp_path / "local" / name) for name in names], tmp_path / "whole")
    out = tmp_path / "out"
    arguments = ["--tokenizer", tiny_tokenizer(), "--block-size", 16, "--shard-tokens", 500]
    done = CliRunner().invoke(
        command, list(map(str, [f"{s3.url}/corpus/[abd].*", *arguments, "--output", out])),
        catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0
    assert shards(out) == shards(tmp_path / "whole")
    assert len(shards(out)) > 10
    manifest = run(f"{s3.url}/corpus/c.jsonl.gz", tmp_path / "c").stores["train"].manifest
    assert manifest.source["inputs"] == [f"{s3.url}/corpus/c.jsonl.gz"]


def test_a_connection_that_breaks_is_resumed(s3, monkeypatch):
    monkeypatch.setattr("mlmfast.fs.remote.reading._PART_BYTES", PART)
    monkeypatch.setattr("mlmfast.fs.remote.reading._FIRST_BYTES", PART)
    url = s3.put("a.txt", LINES)
    before = s3.proxy.cuts
    s3.proxy.cut(after=PART + 2000, times=3)
    assert read(url) == TEXTS
    assert s3.proxy.cuts == before + 3


def test_a_server_that_is_gone_is_named_and_the_run_resumes(s3, tmp_path, monkeypatch):
    monkeypatch.setattr("mlmfast.fs.remote.reading._PART_BYTES", PART)
    monkeypatch.setattr("mlmfast.fs.remote.reading._FIRST_BYTES", PART)
    monkeypatch.setattr(
        "mlmfast.data.prepare.run.ReadOptions",
        lambda **given: ReadOptions(**given, batch_bytes=999),
    )
    url = s3.put("a.txt", LINES)
    run(url, tmp_path / "whole")
    s3.proxy.break_down(after=len(LINES) * 2 // 3)
    with pytest.raises(InputError, match=r"s3://corpora/a\.txt' cannot be accessed.* kept in"):
        run(url, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    s3.proxy.mend()
    report = run(url, tmp_path / "out")
    assert report.kept_shards > 0
    assert shards(tmp_path / "out") == shards(tmp_path / "whole")


def test_a_changed_object_is_not_resumed(s3):
    url = s3.put("a.txt", LINES)
    before = [source.fingerprint() for source in open_sources(url)]
    assert before == [source.fingerprint() for source in open_sources(f"{s3.url}/*.txt")]
    s3.put("a.txt", LINES[::-1])  # of the same size
    assert before != [source.fingerprint() for source in open_sources(url)]


def test_no_bucket_and_no_credentials(s3, monkeypatch, tmp_path):
    import s3fs

    with pytest.raises(NotFoundError, match=r"nothing at 's3://nowhere/a.txt': no such bucket"):
        open_sources("s3://nowhere/a.txt")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    url = s3.put("a.txt", LINES)
    with pytest.raises(
        InputError, match=r"may not be accessed.* Check the credentials: AWS_ACCESS"
    ):
        open_sources(url)
    s3fs.S3FileSystem.clear_instance_cache()
    assert BUCKET in url
