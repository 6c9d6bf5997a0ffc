"""Token lists of MDS shards to block stores."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from corpus import tiny_tokenizer
from mlmfast.data.convert.convert import convert
from mlmfast.data.convert.from_lists import open_token_lists
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError
from places import GOLDEN

MDS = GOLDEN / "mds" / "plain"
TOKENS = [list(range(5, 7 + n)) for n in range(6)]


def lists_of(column):
    lists = open_token_lists([MDS], column)["train"]
    found = [row for batch in lists.read() for row in batch.column(0).to_pylist()]
    assert lists.rows == len(found)
    return found


def test_arrays_of_every_encoding():
    assert lists_of("tokens") == TOKENS  # ndarray:uint16
    assert lists_of("own") == [list(range(5, 8 + n)) for n in range(6)]  # ndarray
    assert lists_of("block") == [[n, n + 1, n + 2, n + 3] for n in range(6)]  # ndarray:int32:4


def test_a_store_of_tokens(tmp_path):
    options = {"to": "store", "tokenizer": tiny_tokenizer(), "column": "tokens", "block_size": 5}
    convert(MDS, tmp_path / "out", **options)
    store = open_splits(tmp_path / "out")["train"]
    assert store[:].ravel().tolist() == [token for row in TOKENS for token in row][:25]
    assert store.manifest.documents == 6


def test_blocks_keep_their_length(tmp_path):
    convert(MDS, tmp_path / "out", to="store", tokenizer=tiny_tokenizer(), column="block")
    store = open_splits(tmp_path / "out")["train"]
    assert np.array_equal(store[:], np.arange(4) + np.arange(6)[:, None])


def test_splits_in_folders(tmp_path):
    for name in ("train", "val"):
        shutil.copytree(MDS, tmp_path / "mds" / name)
    convert(tmp_path / "mds", tmp_path / "out", to="store", tokenizer=tiny_tokenizer(),
            column="block")  # fmt: skip
    assert {name: len(store) for name, store in open_splits(tmp_path / "out").items()} == {
        "train": 6,
        "test": 6,
    }


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("raw", "bytes, which do not say .*ndarray:uint16"),
        ("text", "holds str, not lists of token ids"),
        ("input_ids", "no column 'input_ids', but 'block'.*--column"),
    ],
)
def test_other_columns(column, message):
    with pytest.raises(InputError, match=message):
        lists_of(column)


def test_shards_that_disagree(tmp_path):
    folder = shutil.copytree(MDS, tmp_path / "mds")
    index = json.loads((folder / "index.json").read_text())
    at = index["shards"][1]["column_names"].index("tokens")
    index["shards"][1]["column_encodings"][at] = "ndarray:int64"
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="disagree about the column 'tokens'"):
        open_token_lists([folder], "tokens")
