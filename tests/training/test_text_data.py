"""Text to the blocks of `mlmfast train`, by the flags of run_mlm.py."""

from __future__ import annotations

import json
import pickle

import datasets
import numpy as np
import pyarrow as pa
import pytest
import transformers

from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.datasets import EvaluationBlocks
from mlmfast.training.text_data import is_blocks
from mlmfast.training.train import train
from run_mlm_text import checkpoint, own_cache, stores, text  # noqa: F401 (fixtures)
from toy import sentences


def test_tables_and_json_are_read_as_prepare_reads_them(checkpoint, tmp_path):
    (tmp_path / "a.csv").write_text('n;text\n1;"one two\n2;three four\n')
    (tmp_path / "b.json").write_text(json.dumps({"data": [{"text": "one two"}, {"text": "three"}]}))
    common = {
        "line_by_line": True,
        "max_seq_length": 8,
        "validation_split_percentage": 0,
        "cache_dir": str(tmp_path / "cache"),
    }
    how = {"csv_delimiter": ";", "csv_quoting": "none"}
    for file, more in (("a.csv", how), ("b.json", {"json_field": "data"})):
        found = stores(None, checkpoint, train_file=str(tmp_path / file), **more, **common)
        assert len(found["train"]) == 2


def test_line_by_line_gives_the_rows_of_the_tokenizer(text):
    found = stores(str(text / "train.txt"), None, tokenizer_name=str(text / "tokenizer"),
                   line_by_line=True, max_seq_length=16, validation_split_percentage=0)  # fmt: skip
    store = found["train"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(text / "tokenizer")
    lines = [line for line in (text / "train.txt").read_text().splitlines() if line.strip()]
    rows = tokenizer(lines, max_length=16, truncation=True, padding="max_length")["input_ids"]
    assert store[:].tolist() == rows
    assert store.manifest.padding_tokens == sum(row.count(tokenizer.pad_token_id) for row in rows)
    whole = sum(map(len, tokenizer(lines)["input_ids"]))
    manifest = store.manifest
    assert manifest.tokens - manifest.padding_tokens + manifest.dropped_tokens == whole


def test_pad_to_max_length_or_to_the_longest_of_the_batch(text):
    store = stores(str(text / "train.txt"), None, tokenizer_name=str(text / "tokenizer"),
                   line_by_line=True, max_seq_length=40)["train"]  # fmt: skip
    longest = int((store[:3] != store.manifest.pad_token_id).sum(1).max())
    short = EvaluationBlocks(store).__getitems__([0, 1, 2])
    full = EvaluationBlocks(store, pad_to_max_length=True).__getitems__([0, 1, 2])
    assert short["input_ids"].shape == (3, longest)
    assert full["input_ids"].shape == (3, 40)
    for name, rows in short.items():
        assert rows.equal(full[name][:, :longest])


def test_without_line_by_line_lines_are_joined_as_prepare_does(text, tmp_path):
    options = {"tokenizer_name": str(text / "tokenizer"), "max_seq_length": 16}
    found = stores(str(text / "train.txt"), None, **options, validation_split_percentage=20)
    same = prepare(
        str(text / "train.txt"), tmp_path / "b", tokenizer=text / "tokenizer",
        block_size=16, test_size=0.2,
    )  # fmt: skip
    for name in ("train", "test"):
        assert np.array_equal(found[name][:], same[name][:])
    assert set(stores(str(text / "train.txt"), None, **options, validation_split_percentage=0)) == {
        "train"
    }


def test_the_length_is_what_tokenizer_and_model_take(text, checkpoint):
    assert stores(str(text), checkpoint)["train"].block_size == 40
    assert stores(str(text), checkpoint, max_seq_length=99)["train"].block_size == 40
    assert stores(str(text), checkpoint, max_seq_length=9)["train"].block_size == 9


def test_prepared_text_is_kept_until_it_changes(text, tmp_path):
    file = tmp_path / "some.txt"
    file.write_text((text / "train.txt").read_text())
    options = {"tokenizer_name": str(text / "tokenizer"), "max_seq_length": 16}
    first = stores(str(file), None, **options)["train"].path
    made = first.stat().st_mtime_ns
    assert stores(str(file), None, **options)["train"].path == first
    assert first.stat().st_mtime_ns == made
    stores(str(file), None, **options, overwrite_cache=True)
    assert first.stat().st_mtime_ns != made
    file.write_text("\n".join(sentences(70, seed=3)))
    assert stores(str(file), None, **options)["train"].path != first
    elsewhere = stores(str(file), None, **options, cache_dir=str(tmp_path / "mine"))["train"]
    assert elsewhere.path.is_relative_to(tmp_path / "mine")


@pytest.mark.parametrize("streaming", [False, True])
def test_data_sets_with_and_without_a_validation_split(text, tmp_path, streaming):
    rows = {"id": list(range(60)), "text": sentences(60)}
    few = datasets.Dataset.from_dict({"text": sentences(9), "id": list(range(9))})
    both = datasets.DatasetDict(train=datasets.Dataset.from_dict(rows), validation=few)
    both.save_to_disk(tmp_path / "saved")
    (tmp_path / "raw").mkdir()
    both["train"].to_json(tmp_path / "raw" / "train.jsonl")
    options = {"tokenizer_name": str(text / "tokenizer"), "max_seq_length": 16}
    options["streaming"] = streaming
    saved = stores(None, None, dataset_name=str(tmp_path / "saved"), **options)
    assert saved["test"].manifest.documents == 9
    raw = stores(None, None, dataset_name=str(tmp_path / "raw"), **options)
    assert 0 < raw["test"].manifest.documents < 12
    assert raw["train"].manifest.documents + raw["test"].manifest.documents == 60
    with pytest.raises(InputError, match="no column 'body'"):
        stores(None, None, dataset_name=str(tmp_path / "raw"), text_column="body", **options)


def test_text_that_is_read_once_is_kept_by_what_came_of_it(text, tmp_path):
    """Streams of other text never share a folder; the same text gives the same one again."""
    options = {"tokenizer_name": str(text / "tokenizer"), "max_seq_length": 16}
    options |= {"cache_dir": str(tmp_path), "validation_split_percentage": 0}

    def stored(seed):
        table = pa.table({"text": sentences(60, seed=seed)})
        return stores(table, None, **options)["train"]

    first, second = stored(1), stored(2)
    assert first.path != second.path
    pickled = pickle.dumps(first)
    again = stored(1)
    assert again.path == first.path
    assert len(list((tmp_path / "mlmfast" / "blocks").iterdir())) == 2
    assert np.array_equal(pickle.loads(pickled)[:], first[:])
    (first.path / first.manifest.shards[0].file).unlink()
    mended = stored(1)
    assert mended.path == first.path
    mended.verify()


def test_a_tokenizer_larger_than_the_model_makes_rows(text, checkpoint, tmp_path, caplog):
    tokenizer = transformers.AutoTokenizer.from_pretrained(text / "tokenizer")
    tokenizer.add_tokens(["goodly", "olden"])
    tokenizer.save_pretrained(tmp_path / "larger")
    options = {"max_seq_length": 16, "max_steps": 1, "use_cpu": True, "quiet": True}
    options |= {"model": checkpoint, "tokenizer_name": tmp_path / "larger", "report": False}
    found = train(text / "train.txt", output=tmp_path / "m", **options)
    rows = transformers.AutoConfig.from_pretrained(checkpoint).vocab_size
    assert f"it gets {len(tokenizer) - rows} new rows" in caplog.text
    model = transformers.AutoModelForMaskedLM.from_pretrained(found.output)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer) > rows
    prepare(str(text / "train.txt"), tmp_path / "b", tokenizer=tmp_path / "larger", block_size=16)
    del options["tokenizer_name"], options["max_seq_length"]
    with pytest.raises(InputError, match="--add-tokens"):
        train(tmp_path / "b", output=tmp_path / "other", **options, eval_strategy="no")


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "table", "dataset", "streamed"])
def test_the_first_column_of_text_is_taken_where_none_is_called_text(text, tmp_path, caplog, kind):
    table = pa.table({"n": range(20), "sentence": sentences(20), "label": ["a"] * 20})
    rows = datasets.Dataset(table)
    options = {"tokenizer_name": str(text / "tokenizer"), "max_seq_length": 16}
    options |= {"line_by_line": True, "validation_split_percentage": 0}
    file, data = tmp_path / f"t.{kind}", None
    if kind in ("csv", "json", "parquet"):
        getattr(rows, f"to_{kind}")(file)
        options["train_file"] = str(file)
    elif kind == "streamed":
        rows.to_json(tmp_path / "data" / "train.jsonl")
        options |= {"dataset_name": str(tmp_path / "data"), "streaming": True}
    else:
        data = table if kind == "table" else rows
    with caplog.at_level("INFO"):
        found = stores(data, None, **options)["train"]
    assert "the first one that holds text is taken, sentence" in caplog.text
    named = stores(
        table, None, text_column="sentence", max_seq_length=16, line_by_line=True,
        validation_split_percentage=0, tokenizer_name=options["tokenizer_name"],
    )["train"]  # fmt: skip
    assert np.array_equal(found[:], named[:])
    with pytest.raises(InputError, match="no column 'body'"):
        stores(data, None, text_column="body", **options)


def test_too_little_text_names_the_flags_of_train(text):
    with pytest.raises(InputError, match="--max-seq-length"):
        stores(str(text / "train.txt"), None, tokenizer_name=str(text / "tokenizer"))


def test_files_that_are_not_there_or_not_known(text, tmp_path):
    options = {"tokenizer_name": str(text / "tokenizer")}
    with pytest.raises(NotFoundError, match="There is no file"):
        stores(None, None, train_file=str(tmp_path / "none.txt"), **options)
    (tmp_path / "strange.xyz").write_text("text")
    with pytest.raises(InputError, match="--format"):
        stores(None, None, train_file=str(tmp_path / "strange.xyz"), **options)
    with pytest.raises(InputError, match="only once"):
        stores("-", None, **options)
    with pytest.raises(InputError, match="neither blocks nor text files"):
        stores(str(tmp_path), None, **options)
    forced = {"format": "txt", "max_seq_length": 4, "validation_split_percentage": 0}
    (tmp_path / "strange.xyz").write_text("\n".join(sentences(5)))
    assert len(stores(str(tmp_path / "strange.xyz"), None, **forced, **options)["train"])


def test_a_validation_file_goes_before_a_percentage(text):
    found = stores(None, None, train_file=str(text / "train.txt"), max_seq_length=16,
                   validation_file=str(text / "valid.txt"), validation_split_percentage=50,
                   tokenizer_name=str(text / "tokenizer"))  # fmt: skip
    assert found["train"].manifest.documents == 62
    assert found["test"].manifest.documents == 20


def test_one_document_a_block_is_gone_on_with_after_a_cut(text, tmp_path):
    """What a run that was cut off knows of its padding is not lost."""
    options = {"tokenizer": text / "tokenizer", "block_size": 8, "packing": "none"}
    whole = prepare(str(text / "train.txt"), tmp_path / "w", **options, shard_tokens=64)
    assert len(whole) == 62
    assert len(open_splits(tmp_path / "w")["train"].manifest.shards) > 1
    padding = int((whole[:] == whole.manifest.pad_token_id).sum())
    assert whole.manifest.padding_tokens == padding
    with pytest.raises(InputError, match="share blocks"):
        prepare(str(text), tmp_path / "x", **options, special_tokens="block")


@pytest.mark.parametrize(
    ("url", "blocks"),
    [
        ("s3://bucket/corpus/a.jsonl.zst", False),
        ("s3://bucket/corpus/*", False),
        ("https://example.org/a.txt.gz?signature=b.c", False),
        ("s3://bucket/blocks", True),
    ],
)
def test_a_url_without_a_format_is_a_block_store(url, blocks):
    assert is_blocks(url) is blocks
