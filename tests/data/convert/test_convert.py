"""Block stores in the formats of others, opened by readers that know nothing of mlmfast."""

from __future__ import annotations

import json
import struct
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mlmfast
from corpus import documents, tiny_tokenizer
from mlmfast.cli import main
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import InputError, MlmfastError, NotFoundError, OutputExistsError, StoreError

TEXTS = documents(200)
FORMATS = ("parquet", "megatron", "raw")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store with two splits and several shards."""
    path = tmp_path_factory.mktemp("convert") / "blocks"
    prepare(
        pa.array(TEXTS), path, tokenizer=tiny_tokenizer(), block_size=16, test_size=0.3,
        shard_tokens=600, remainder="pad",
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A store whose ids need four bytes."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "far": 70_000}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_special_tokens([AddedToken("[MASK]")])
    path = tmp_path_factory.mktemp("convert") / "large"
    prepare(pa.array(["far out", "far far"]), path, tokenizer=words, block_size=2)
    return path


def read_megatron(prefix):
    """An indexed data set's documents, each a list of sequences; written from its description."""
    index, data = (prefix.with_suffix(end).read_bytes() for end in (".idx", ".bin"))
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, boundaries = struct.unpack_from("<QBQQ", index, 9)
    assert version == 1
    letter, size = {1: ("B", 1), 2: ("b", 1), 3: ("h", 2), 4: ("i", 4), 5: ("q", 8), 8: ("H", 2)}[
        code
    ]
    at = 9 + 8 + 1 + 8 + 8
    lengths = struct.unpack_from(f"<{sequences}i", index, at)
    at += 4 * sequences
    pointers = struct.unpack_from(f"<{sequences}q", index, at)
    at += 8 * sequences
    starts = struct.unpack_from(f"<{boundaries}q", index, at)
    assert at + 8 * boundaries == len(index)
    assert pointers[-1] + lengths[-1] * size <= len(data)  # padding is in no sequence
    found = [
        list(struct.unpack_from(f"<{length}{letter}", data, pointer))
        for length, pointer in zip(lengths, pointers, strict=True)
    ]
    return [found[a:b] for a, b in pairwise(starts)]


def without_documents(folder, path):
    """The blocks of a store's train split, in a store that does not know where documents begin."""
    store = open_splits(folder)["train"]
    pq.write_table(store.to_arrow(), path.with_suffix(".parquet"))
    options = {"tokenizer": tiny_tokenizer(), "block_size": store.block_size}
    mlmfast.convert(path.with_suffix(".parquet"), path, to="store", **options)
    return BlockStore.open(path)


def read_raw(prefix):
    about = json.loads(prefix.with_suffix(".json").read_text())
    path = prefix.with_name(about["file"])
    return np.memmap(path, about["dtype"], mode="r", shape=tuple(about["shape"])), about


def test_parquet_opens_with_pyarrow(folder, tmp_path):
    report = mlmfast.convert(folder, tmp_path / "out", to="parquet")
    for name, store in open_splits(folder).items():
        files = sorted((tmp_path / "out").glob(f"{name}-*.parquet"))
        assert len(files) == len(store.manifest.shards)
        table = pa.concat_tables(pq.read_table(file) for file in files)
        assert table.schema.field("input_ids").type == pa.list_(pa.uint16(), 16)
        assert table["input_ids"].to_pylist() == store[:].tolist()
        assert report.blocks[name] == len(store)
    assert report.bytes == sum(file.stat().st_size for file in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("way", ["parquet", "datasets"])
def test_where_documents_begin_goes_along(folder, tmp_path, way):
    if way == "parquet":
        mlmfast.convert(folder, tmp_path / "out", to="parquet")
    else:
        datasets = pytest.importorskip("datasets")
        datasets.load_from_disk(str(folder)).save_to_disk(str(tmp_path / "out"))
    mlmfast.convert(tmp_path / "out", tmp_path / "back", to="store", tokenizer=tiny_tokenizer())
    for name, store in open_splits(folder).items():
        back = open_splits(tmp_path / "back")[name]
        everything = np.arange(len(store), dtype=np.uint64)
        assert np.array_equal(back[:], store[:])
        assert np.array_equal(back.document_ids(everything), store.document_ids(everything))
        assert back.manifest.padding_tokens == store.manifest.padding_tokens


def test_rows_of_one_length_are_no_documents_and_others_are(folder, tmp_path):
    assert not without_documents(folder, tmp_path / "out").manifest.document_starts
    rows = pa.array([[5, 6, 7], [8], [], [9, 10]], pa.list_(pa.int32()))
    pq.write_table(pa.table({"input_ids": rows}), tmp_path / "lists.parquet")
    options = {"tokenizer": tiny_tokenizer(), "block_size": 3}
    mlmfast.convert(tmp_path / "lists.parquet", tmp_path / "lists", to="store", **options)
    store = BlockStore.open(tmp_path / "lists")
    assert store.document_ids(np.arange(2, dtype=np.uint64)).tolist() == [[0, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize("starts", [[1], [], [0, 2, 2], [0, 3], [0, -1], None])
def test_document_starts_that_cannot_be_are_refused(tmp_path, starts):
    table = pa.table(
        {
            "input_ids": pa.array([[7], [5, 6, 7]], pa.list_(pa.int32())),
            "document_starts": pa.array([[0], starts], pa.list_(pa.int32())),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    options = {"to": "store", "tokenizer": tiny_tokenizer(), "block_size": 2}
    with pytest.raises(InputError, match="document_starts"):
        mlmfast.convert(tmp_path / "a.parquet", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_parquet_is_a_data_set_with_its_splits(folder, tmp_path):
    datasets = pytest.importorskip("datasets")
    mlmfast.convert(folder, tmp_path / "out", to="parquet")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    for name, store in open_splits(folder).items():
        assert loaded[name]["input_ids"][:] == store[:].tolist()


def test_megatron_opens_with_an_independent_reader(folder, large, tmp_path):
    mlmfast.convert(folder, tmp_path / "out", to="megatron")
    for name, store in open_splits(folder).items():
        ids = store.document_ids(np.arange(len(store), dtype=np.uint64))
        documents = [
            [block[own == number].tolist()]
            for block, own in zip(store[:], ids, strict=True)
            for number in range(own.max() + 1)
        ]
        assert read_megatron(tmp_path / "out" / name) == documents
    mlmfast.convert(large, tmp_path / "large", to="megatron")
    assert read_megatron(tmp_path / "large" / "train") == [[[70_000, 0]], [[70_000, 70_000]]]
    without = without_documents(folder, tmp_path / "without")
    mlmfast.convert(without.path, tmp_path / "blocks", to="megatron")
    blocks = [[block] for block in without[:].tolist()]
    assert read_megatron(tmp_path / "blocks" / "train") == blocks


def test_raw_opens_with_numpy(folder, large, tmp_path):
    mlmfast.convert(folder, tmp_path / "out", to="raw")
    for name, store in open_splits(folder).items():
        ids, about = read_raw(tmp_path / "out" / name)
        assert np.array_equal(ids, store[:])
        assert about["dtype"] == "<u2"
        assert about["mask_token_id"] == store.manifest.mask_token_id
        assert about["special_ids"] == list(store.manifest.special_ids)
        assert about["documents"]["dtype"] == "<u8"
        begins = np.fromfile(tmp_path / "out" / about["documents"]["file"], "<u8")
        assert about["documents"]["shape"] == [len(begins)]
        numbers = store.document_ids(np.arange(len(store), dtype=np.uint64))
        changes = np.diff(numbers, axis=1, prepend=-1) != 0
        assert np.array_equal(begins, np.flatnonzero(changes & (numbers >= 0)))
    mlmfast.convert(large, tmp_path / "large", to="raw")
    ids, about = read_raw(tmp_path / "large" / "train")
    assert (about["dtype"], ids.tolist()) == ("<u4", [[70_000, 0], [70_000, 70_000]])


def test_there_and_back_is_the_same_store(folder, tmp_path):
    mlmfast.convert(folder, tmp_path / "parquet", to="parquet")
    report = mlmfast.convert(
        tmp_path / "parquet", tmp_path / "back", to="store", tokenizer=tiny_tokenizer(),
        shard_tokens=600,
    )  # fmt: skip
    for name, store in open_splits(folder).items():
        again = open_splits(tmp_path / "back")[name]
        assert np.array_equal(again[:], store[:])
        again.verify()
        for same in ("vocab_size", "special_ids", "mask_token_id", "padding_tokens", "block_size"):
            assert getattr(again.manifest, same) == getattr(store.manifest, same), same
        assert again.manifest.documents == report.blocks[name] == len(store)
        # The very same files, too.
        assert [s.sha256 for s in again.manifest.shards] == [
            s.sha256 for s in store.manifest.shards
        ]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int32())])
def test_lists_of_any_integers_become_blocks(tmp_path, kind):
    rows = [[5, 6, 7], [], [8], [9, 10, 11, 12]]
    ids = pa.table({"ids": pa.array(rows, kind), "text": ["a", "b", "c", "d"]})
    pq.write_table(ids.slice(0, 2), tmp_path / "a.parquet")
    pq.write_table(ids.slice(2), tmp_path / "b.parquet")
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    to = {"to": "store", "tokenizer": tiny_tokenizer(), "column": "ids", "overwrite": True}
    mlmfast.convert(files, tmp_path / "out", block_size=4, **to)
    assert open_splits(tmp_path / "out")["train"][:].tolist() == [[5, 6, 7, 8], [9, 10, 11, 12]]
    mlmfast.convert(files, tmp_path / "out", block_size=6, special_tokens="block", **to)
    store = BlockStore.open(tmp_path / "out")
    assert store[:].tolist() == [[0, 5, 6, 7, 8, 2], [0, 9, 10, 11, 12, 2]]
    assert (store.dtype, store.manifest.text_bytes) == (np.uint16, 0)
    mlmfast.convert(files, tmp_path / "out", block_size=5, packing="best_fit", **to)
    store = BlockStore.open(tmp_path / "out")
    assert store[:].tolist() == [[5, 6, 7, 1, 1], [8, 9, 10, 11, 12]]
    assert store.manifest.padding_tokens == 2


def test_a_datasets_folder_becomes_a_store(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [[number % 300] * 4 for number in range(50)]
    data = datasets.Dataset.from_dict({"input_ids": rows}).shuffle(seed=1)
    data.save_to_disk(tmp_path / "one")
    to = {"to": "store", "tokenizer": tiny_tokenizer(), "block_size": 4}
    mlmfast.convert(tmp_path / "one", tmp_path / "out", **to)
    assert BlockStore.open(tmp_path / "out")[:].tolist() == data["input_ids"][:]
    both = datasets.DatasetDict(data.train_test_split(0.2))
    both["validation"] = both.pop("test")
    both.save_to_disk(tmp_path / "two")
    mlmfast.convert(tmp_path / "two", tmp_path / "both", **to)
    splits = open_splits(tmp_path / "both")
    assert splits["train"][:].tolist() == both["train"]["input_ids"][:]
    assert splits["test"][:].tolist() == both["validation"]["input_ids"][:]
    loaded = datasets.load_from_disk(str(tmp_path / "both"))
    assert set(loaded) == {"train", "test"}


@pytest.mark.parametrize("to", FORMATS)
def test_only_an_earlier_conversion_is_replaced(folder, tmp_path, to):
    out = tmp_path / "out"
    mlmfast.convert(folder / "train", out, to=to)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(OutputExistsError, match="--overwrite"):
        mlmfast.convert(folder, out, to=to)
    with pytest.raises(StoreError):
        mlmfast.convert(tmp_path, out, to=to, overwrite=True)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    mlmfast.convert(folder, out, to=to, overwrite=True)
    assert any(file.name.startswith("test") for file in out.iterdir())
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="did not write"):
        mlmfast.convert(folder, out, to=to, overwrite=True)
    with pytest.raises(OutputExistsError, match="did not write"):
        mlmfast.convert(folder, folder, to=to, overwrite=True)


def write(path, column, name="input_ids"):
    pq.write_table(pa.table({name: column}), path)


@pytest.mark.parametrize(
    ("rows", "how", "said"),
    [
        (pa.array([[5], [6, 320]]), {}, "row 1, position 1: 320 is no id .* below 320"),
        (pa.array([[5], [-1]]), {}, "row 1, position 0: -1 is no id"),
        (pa.array([[5], None]), {}, "row 1 is null"),
        (pa.array([[5], [6, None]]), {}, "row 1, position 1: None is no id"),
        (pa.array(["text"]), {}, "holds string, not lists .*mlmfast prepare"),
        (pa.array([["text"]]), {}, "not lists of token ids"),
        (pa.array([[5]]), {"column": "ids"}, "no column 'ids', but 'input_ids'"),
        (pa.array([[5]]), {}, "1 row of .* hold 1 token, which is less than one block of 128"),
        (pa.array([[5]]), {"special_tokens": "document"}, "none or block"),
        (pa.array([[5]]), {"block_size": 0}, "block_size"),
        (pa.array([[5]]), {"tokenizer": None}, "name the one that made the ids"),
        (pa.array([[5]]), {"to": "csv"}, "parquet, megatron, raw, store; got 'csv'"),
    ],
)
def test_bad_lists_leave_nothing(tmp_path, rows, how, said):
    write(tmp_path / "a.parquet", rows)
    options = {"to": "store", "tokenizer": tiny_tokenizer(), **how}
    with pytest.raises(InputError, match=said):
        mlmfast.convert(tmp_path / "a.parquet", tmp_path / "new" / "out", **options)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]


def test_what_is_no_input_is_named(tmp_path, folder):
    to = {"to": "store", "tokenizer": tiny_tokenizer()}
    with pytest.raises(NotFoundError, match=r"no file or folder '.*gone'"):
        mlmfast.convert(tmp_path / "gone", tmp_path / "out", **to)
    with pytest.raises(InputError, match="no Parquet file is in it"):
        mlmfast.convert(tmp_path, tmp_path / "out", **to)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="no whole Parquet file"):
        mlmfast.convert(tmp_path / "a.parquet", tmp_path / "out", **to)
    with pytest.raises(InputError, match="one block store is converted at a time"):
        mlmfast.convert([folder, folder], tmp_path / "out", to="raw")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_fault_in_the_middle_leaves_nothing(folder, tmp_path, monkeypatch, fault):
    from mlmfast.data.convert import convert as run

    def fail(_store, where, name, _advance):
        (where / f"{name}.bin").write_bytes(b"half")
        raise fault

    monkeypatch.setitem(run._WRITERS, "raw", fail)
    with pytest.raises((KeyboardInterrupt, MlmfastError)):
        mlmfast.convert(folder, tmp_path / "out", to="raw")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(folder, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mlmfast", "convert", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    blocks = {name: len(store) for name, store in open_splits(folder).items()}
    status, out, err = run(folder, "--to", "megatron", "--output", tmp_path / "m")
    assert (status, err) == (0, "")
    assert f"{blocks['train']:,} blocks (train) and {blocks['test']:,} blocks (test)" in out
    status, out, _ = run(folder, "--to", "parquet", "-o", tmp_path / "p", "--json")
    assert json.loads(out)["blocks"] == blocks
    status, out, _ = run(
        tmp_path / "p", "--to", "store", "--tokenizer", tiny_tokenizer(), "-o", tmp_path / "s", "-q"
    )
    assert (status, out) == (0, "")
    assert np.array_equal(open_splits(tmp_path / "s")["test"][:], open_splits(folder)["test"][:])
    for arguments, words in (
        ([folder, "--to", "raw", "--block-size", "8"], "--block-size is for --to store alone"),
        ([tmp_path / "p", "--to", "store"], "--to store needs --tokenizer"),
        ([tmp_path / "gone", "--to", "raw"], "no such folder"),
        ([folder, "--to", "csv"], "'csv' is not one of"),
    ):
        status, out, err = run(*arguments, "-o", tmp_path / "never")
        assert (status, out) == (2, "")
        assert words in err
        assert not (tmp_path / "never").exists()
