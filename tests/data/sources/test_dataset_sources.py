"""Data sets in every form: clones of repositories, streams, columns; Arrow's encodings."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mlmfast
from corpus import read, tiny_tokenizer
from mlmfast.errors import InputError

datasets = pytest.importorskip("datasets")

README = """---
configs:
- config_name: small
  data_files:
  - split: train
    path: data/small.parquet
  - split: test
    path: data/rest-*.parquet
- config_name: other
  data_files: data/other.parquet
---
# A data set
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def write_parquet(path, *texts):
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(pa.table({"text": texts}), path)


def test_a_clone_of_a_repository_opens_by_its_names(tmp_path):
    clone = tmp_path / "clone"
    write_parquet(clone / "data" / "train-00000-of-00002.parquet", "a")
    write_parquet(clone / "data" / "train-00001-of-00002.parquet", "b")
    write_parquet(clone / "data" / "test-00000-of-00001.parquet", "c")
    (clone / "README.md").write_text("# A data set\n")
    assert read(None, dataset_name=str(clone), split="train") == ["a", "b"]
    assert read(None, dataset_name=str(clone), split="test") == ["c"]
    with pytest.raises(InputError, match="splits train, test"):
        read(None, dataset_name=str(clone))
    with pytest.raises(InputError, match="--dataset-name"):
        read(str(clone))


def test_a_clone_opens_by_the_configurations_of_its_card(tmp_path):
    clone = tmp_path / "clone"
    write_parquet(clone / "data" / "small.parquet", "a")
    write_parquet(clone / "data" / "rest-1.parquet", "b", "c")
    write_parquet(clone / "data" / "other.parquet", "x", "y")
    (clone / "README.md").write_text(README)
    how = {"dataset_name": str(clone), "dataset_config": "small"}
    assert read(None, split="test", **how) == ["b", "c"]
    assert read(None, split="test[1:]", **how) == ["c"]
    assert read(None, dataset_name=str(clone), dataset_config="other") == ["x", "y"]
    with pytest.raises(InputError, match="small"):
        read(None, dataset_name=str(clone))
    (clone / "data" / "small.parquet").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"
    )
    with pytest.raises(InputError, match=r"small\.parquet.*git lfs pull"):
        read(None, split="train", **how)
    assert read(None, dataset_name=str(clone), dataset_config="other") == ["x", "y"]


def test_a_clone_with_a_damaged_file_is_one_sentence(tmp_path):
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "train.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="clone' cannot be loaded"):
        read(None, dataset_name=str(tmp_path / "clone"))


def test_a_saved_data_set_has_no_configuration(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "saved"))
    assert read(None, dataset_name=str(tmp_path / "saved")) == ["a"]
    with pytest.raises(InputError, match="has no configurations"):
        read(None, dataset_name=str(tmp_path / "saved"), dataset_config="en")


def test_streamed_data_sets_are_read_a_few_rows_at_a_time():
    drawn = []

    def rows():
        for number in range(5000):
            drawn.append(number)
            yield {"n": number, "text": f"t{number}"}

    stream = datasets.IterableDataset.from_generator(rows)
    from mlmfast.data.sources.base import ReadOptions
    from mlmfast.data.sources.open import open_sources

    options = ReadOptions()
    pieces = open_sources(stream)[0].pieces(options)
    assert next(pieces).decode(options).to_pylist()[:2] == ["t0", "t1"]
    assert len(drawn) < 2500
    assert read(stream.take(2)) == ["t0", "t1"]
    assert read(stream.map(lambda row: {"x": row["text"].upper()}).take(2), "x") == ["T0", "T1"]
    assert read(stream["text"]) == [f"t{number}" for number in range(5000)]
    both = datasets.IterableDatasetDict({"train": stream.take(1), "test": stream.skip(4999)})
    assert read(both, split="test") == ["t4999"]
    with pytest.raises(InputError, match="splits train, test"):
        read(both)
    with pytest.raises(InputError, match="cannot be sliced"):
        read(both, split="train[:1]")
    with pytest.raises(InputError, match=r"no column 'body'.*'n', 'text'"):
        read(stream, "body")
    with pytest.raises(InputError, match="is empty"):
        read(stream.take(0))


def test_columns_of_data_sets():
    rows = datasets.Dataset.from_dict(
        {"body": ["a", None, "c"], "deep": [{"text": ["x", "y"]}, {"text": []}, None]}
    )
    assert read(rows["body"]) == ["a", None, "c"]
    assert read(rows.select([2, 0])["body"]) == ["c", "a"]
    assert read(rows["deep"]["text"]) == ["x y", "", None]
    assert read([rows["body"], rows["body"]]) == 2 * ["a", None, "c"]


def test_a_store_of_a_stream_is_that_of_its_rows(tmp_path):
    rows = datasets.Dataset.from_dict({"text": [f"the quick fox {n}" for n in range(200)]})
    stores = [
        mlmfast.prepare(data, tmp_path / f"{n}", tokenizer=tiny_tokenizer(), block_size=16)
        for n, data in enumerate([rows, rows["text"], rows.to_iterable_dataset()])
    ]
    first = [store.manifest.checksum for store in stores]
    assert first == first[:1] * 3


WORDS = ["a", None, "a longer one, beyond twelve bytes", "a"]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(WORDS).cast(pl.Categorical),
        pl.Series(WORDS).cast(pl.Enum(["a", WORDS[2]])),
        pl.DataFrame({"text": pl.Series(WORDS).cast(pl.Categorical)}),
        pa.array(WORDS).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0]), pa.array(WORDS[:3])),
        pa.DictionaryArray.from_arrays(
            pa.array([0, None, 1, 0], pa.uint8()), pa.array(["a", WORDS[2]], pa.string_view())
        ),
        pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3, 4], pa.int32()), pa.array(WORDS)),
    ],
    ids=lambda column: f"{type(column).__module__.split('.')[0]}-{type(column).__name__}",
)
def test_every_encoding_of_a_column(column):
    assert read(column) == WORDS


def test_encodings_below_lists_and_fields():
    lists = pl.Series([["a", "b"], None, ["b"]]).cast(pl.List(pl.Categorical))
    assert read(lists) == ["a b", None, "b"]
    fields = pl.DataFrame({"q": [{"t": "a"}]}, schema={"q": pl.Struct({"t": pl.Categorical})})
    assert read(fields, "q.t") == ["a"]
