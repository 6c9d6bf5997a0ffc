"""Several named sources with options of their own: a store for each, in one folder."""

from __future__ import annotations

import json
import shutil
import warnings

import pytest
from click.testing import CliRunner

from corpus import documents, jsonl, tiny_tokenizer
from mlmfast.cli.stores.prepare import command
from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.prepare import run as prepare_run
from mlmfast.data.prepare import several
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import InputError, OutputExistsError
from mlmfast.fs.checksums import file_sha256

TEXTS = documents(60)
OPTIONS = {"block_size": 16, "shard_tokens": 200}


@pytest.fixture
def sources(tmp_path):
    """Two sources as `prepare` takes them, and the options that each would need alone."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    records = [{"body": text, "site": n % 7} for n, text in enumerate(TEXTS)]
    (folder / "b.jsonl").write_bytes(jsonl(*records))
    return {
        "plain": str(folder / "*.txt"),
        "web_pages": {
            "inputs": [str(folder / "b.jsonl")],
            "text_column": "body",
            "test_size": 0.4,
            "test_by": "site",
            "deduplicate": "exact",
        },
    }


def files_of(folder):
    return {
        str(path.relative_to(folder)): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def several_of(sources, out, **options):
    return prepare(sources, out, tokenizer=tiny_tokenizer(), **OPTIONS, **options)


def test_every_store_is_the_one_of_its_source_alone(sources, tmp_path):
    made = several_of(sources, tmp_path / "out", seed=3)
    assert isinstance(made["plain"], BlockStore)
    assert set(made["web_pages"]) == {"train", "test"}
    assert Mixture({"plain": made["plain"], "web": made["web_pages"]["train"]})
    for name, source in sources.items():
        own = dict(source) if isinstance(source, dict) else {"inputs": source}
        alone = tmp_path / "alone" / name
        prepare(own.pop("inputs"), alone, tokenizer=tiny_tokenizer(), seed=3, **OPTIONS, **own)
        assert files_of(tmp_path / "out" / name) == files_of(alone)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "in", "out"]


def test_the_stores_replace_their_like_only(sources, tmp_path):
    out = tmp_path / "out"
    several_of(sources, out)
    with pytest.raises(OutputExistsError):
        several_of(sources, out)
    several_of({"plain": sources["plain"]}, out, overwrite=True)
    assert [path.name for path in out.iterdir()] == ["plain"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        several_of(sources, out, overwrite=True)


def test_finished_sources_are_kept(sources, tmp_path, monkeypatch):
    sources = {**sources, "last": {"inputs": sources["plain"], "limit": 30}}
    several_of(sources, tmp_path / "whole")
    real, prepared = several.run_prepare, []

    def run(inputs, output, options):
        prepared.append(output.name)
        if len(prepared) == 3:
            raise KeyboardInterrupt
        return real(inputs, output, options)

    monkeypatch.setattr(several, "run_prepare", run)
    with pytest.raises(KeyboardInterrupt, match="2 finished sources kept"):
        several_of(sources, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # The second source has changed since then.
    sources["web_pages"]["test_size"] = 0.3
    several_of(sources, tmp_path / "whole", overwrite=True, resume=False)
    prepared[:] = ["", "", ""]
    several_of(sources, tmp_path / "out")
    assert prepared[3:] == ["web_pages", "last"]
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_an_interrupted_source_resumes(sources, tmp_path, monkeypatch):
    several_of(sources, tmp_path / "whole")
    real = prepare_run._close
    with monkeypatch.context() as patch:

        def stop(work, splits, *more):
            if "web_pages" in str(work.root):
                raise KeyboardInterrupt
            real(work, splits, *more)

        patch.setattr(prepare_run, "_close", stop)
        with pytest.raises(KeyboardInterrupt):
            several_of(sources, tmp_path / "out")
    reports = several.run_prepare_several(
        sources, tmp_path / "out", prepare_run.PrepareOptions(tokenizer=tiny_tokenizer(), **OPTIONS)
    )
    assert all(report.kept_shards for report in reports.values())
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": "a.txt"}, "neither train nor test; got 'test'"),
        ({"a/b": "a.txt"}, "named like a folder"),
        ({".a": "a.txt"}, "named like a folder"),
        ({"web": {"inputs": "a.txt", "text_colum": "x"}}, "'web' has no option 'text_colum'; did"),
        ({"web": {"inputs": "a.txt", "block_size": 8}}, "'web' has no option 'block_size'"),
        ({"web": {"inputs": "a.txt", "test_size": 2}}, "The source 'web': test_size is the share"),
        ({"web": "nowhere.txt"}, "The source 'web': There is no file 'nowhere.txt'"),
        ({"web": {"text_column": "x"}}, "The source 'web': There is no input"),
    ],
)
def test_what_is_wrong_names_the_source(tmp_path, changes, message):
    with pytest.raises((InputError, FileNotFoundError), match=message):
        several_of(changes, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_all_sources_are_looked_for_before_the_first_is_read(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(several, "run_prepare", None)
    with pytest.raises(FileNotFoundError, match="The source 'last': No file matches"):
        several_of({**sources, "last": str(tmp_path / "*.csv")}, tmp_path / "out")


def test_a_data_set_of_splits_is_one_source(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": TEXTS})})
    assert isinstance(several_of(rows, tmp_path / "out"), BlockStore)


def test_warnings_name_the_source(sources, tmp_path):
    folder = shutil.copytree(tiny_tokenizer(), tmp_path / "tokenizer")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 8}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prepare(sources, tmp_path / "out", tokenizer=folder, block_size=16)
    said = [str(one.message) for one in caught if one.filename == __file__]
    assert [one.partition(": Blocks of 16 tokens are longer")[0] for one in said] == [
        "The source 'plain'",
        "The source 'web_pages'",
    ]


def test_the_command(sources, tmp_path):
    settings = tmp_path / "sources.json"
    settings.write_text(json.dumps(sources))
    given = ["--sources", settings, "--tokenizer", tiny_tokenizer(), "--block-size", 16]

    def run(*arguments):
        return CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)

    out = tmp_path / "out"
    said = run(*given, "--output", out).stdout
    assert f"mlmfast train --data {out}/plain auto --data {out}/web_pages auto" in said
    assert "web_pages:\n  Read     " in said
    found = json.loads(run(*given, "--output", out, "--overwrite", "--json").stdout)
    stores = open_splits(out / "web_pages")
    assert found["sources"]["web_pages"]["blocks"] == sum(map(len, stores.values()))
    with pytest.raises(InputError, match="leave out other inputs"):
        run("a.txt", *given, "--output", out)
