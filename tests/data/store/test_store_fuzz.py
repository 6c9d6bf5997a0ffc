"""Damaged stores: opening and verifying one is an error or gives what was written, never a crash.

Seeded, and short by default; `make fuzz` takes longer (MLMFAST_FUZZ_ROUNDS).
"""

from __future__ import annotations

import json
import os
import random
import shutil

import numpy as np
import pyarrow as pa
import pytest

from corpus import documents, tiny_tokenizer
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import checksum_of

ROUNDS = int(os.environ.get("MLMFAST_FUZZ_ROUNDS", "150"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "blocks"
    texts = pa.array(documents(60))
    return prepare(texts, path, tokenizer=tiny_tokenizer(), block_size=16, shard_tokens=400)


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole.path, tmp_path / "copy")


def flip(data, draw):
    at = draw.randrange(len(data))
    data[at] ^= 1 << draw.randrange(8)


def overwrite(data, draw):
    start = draw.randrange(len(data))
    stop = min(len(data), start + draw.randint(1, 16))
    data[start:stop] = draw.randbytes(stop - start)


def truncate(data, draw):
    del data[draw.randrange(len(data)) :]


def grow(data, draw):
    data += draw.randbytes(draw.randint(1, 64))


def drop(data, draw):
    start = draw.randrange(len(data))
    del data[start : start + draw.randint(1, 16)]


def survives(copy, whole):
    """Open and verify; whether the store passed for whole, and then is it."""
    try:
        store = BlockStore.open(copy)
        blocks = store[:]
        store.verify()
    except StoreError:
        return False
    assert np.array_equal(blocks, whole[:])
    assert store.manifest == whole.manifest
    return True


def signed(content):
    """What a manifest of such content would be, had it been written so."""
    return json.dumps({**content, "checksum": checksum_of(content)})


@pytest.mark.parametrize("damage", [flip, overwrite, truncate, grow, drop])
def test_damage_anywhere_is_noticed(copy, whole, damage):
    draw = random.Random(f"{damage.__name__} 1")
    shards = [shard.file for shard in whole.manifest.shards]
    passed = 0
    for _ in range(ROUNDS):
        names = [*shards, "mlmfast.json", "mlmfast.json", "tokenizer.json", "state.json"]
        path = copy / draw.choice(names)
        before = path.read_bytes()
        data = bytearray(before)
        damage(data, draw)
        path.write_bytes(data)
        passed += data != before and survives(copy, whole)
        path.write_bytes(before)
    # White space between a JSON's values can change without a change of meaning.
    assert passed <= ROUNDS // 4
    assert survives(copy, whole)


def test_every_bit_of_a_header_counts(copy, whole):
    shard = whole.manifest.shards[0]
    path = copy / shard.file
    data = bytearray(path.read_bytes())
    assert bytes(data[shard.ids_start : shard.ids_end]) == whole.shards[0].tobytes()
    frame = [
        *range(shard.ids_start),
        *range(shard.ids_end, shard.starts_start),
        *range(shard.starts_end, len(data)),
    ]
    for at in random.Random(2).sample(frame, min(len(frame), ROUNDS)):
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        with pytest.raises(StoreError, match="header"):
            BlockStore.open(copy)
        data[at] ^= 1 << at % 8


def test_every_bit_of_the_ids_counts(copy, whole):
    """At the ends of a shard when it is opened; anywhere when it is verified."""
    shard = whole.manifest.shards[0]
    path = copy / shard.file
    data = bytearray(path.read_bytes())
    for at in random.Random(3).sample(range(shard.ids_start, shard.ids_end), min(40, ROUNDS)):
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        with pytest.raises(StoreError, match="ids were changed"):
            BlockStore.open(copy)
        with pytest.raises(StoreError, match="checksum"):
            whole_at(copy, whole).verify()
        data[at] ^= 1 << at % 8


def whole_at(copy, whole):
    """The store as it was opened before the damage came."""
    store = BlockStore.open(whole.path)
    store.path = copy
    return store


def test_a_manifest_of_other_values_is_refused(copy, whole):
    """Values of every type in every field, with the checksum as it was, taken out, or forged."""
    path = copy / "mlmfast.json"
    content = json.loads(path.read_text())
    values = [None, -1, 0, 2**70, 1.5, "", "x", [], [1], {}, {"file": "x"}, True]
    for name in content:
        for value in values:
            if json.dumps(content[name]) == json.dumps(value):
                continue
            changed = {**content, name: value}
            for unsigned in (changed, {**changed, "checksum": None}):
                path.write_text(json.dumps(unsigned))
                with pytest.raises(StoreError):
                    BlockStore.open(copy)
            path.write_text(signed(changed))
            try:
                store = BlockStore.open(copy)
            except StoreError:
                continue
            assert np.array_equal(store[:], whole[:])


def test_a_shard_does_not_lead_out_of_the_folder(copy):
    path = copy / "mlmfast.json"
    content = json.loads(path.read_text())
    shard = content["shards"][0]
    outside = copy.parent / shard["file"]
    outside.write_bytes((copy / shard["file"]).read_bytes())
    for name in (f"../{shard['file']}", str(outside), "", ".", ".."):
        changed = [{**shard, "file": name}, *content["shards"][1:]]
        path.write_text(signed({**content, "shards": changed}))
        with pytest.raises(StoreError):
            BlockStore.open(copy)


@pytest.mark.parametrize("wrong", [None, "x", -1, 2**70, 1.5])
def test_a_shards_own_values_are_checked(copy, whole, wrong):
    path = copy / "mlmfast.json"
    content = json.loads(path.read_text())
    for name in content["shards"][0]:
        changed = [{**content["shards"][0], name: wrong}, *content["shards"][1:]]
        path.write_text(signed({**content, "shards": changed}))
        try:
            store = BlockStore.open(copy)
        except StoreError as error:
            assert str(copy) in str(error)  # noqa: PT017 - opening may go well, too
        else:
            assert np.array_equal(store[:], whole[:])
