"""Packing and block frames on their way to disk: `prepare(packing=..., special_tokens="block")`."""

from __future__ import annotations

import json
import sys
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from corpus import documents, tiny_tokenizer
from mlmfast.cli import main
from mlmfast.data.blocks.group import group_blocks
from mlmfast.data.prepare import run as prepare_run
from mlmfast.data.prepare.api import prepare
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.store.store import BlockStore
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError
from mlmfast.fs.checksums import checksum_of
from tolerances import KERNELS

TEXTS = documents(300)
BOS, PAD, EOS = 0, 1, 2


@pytest.fixture
def encode():
    tokenizer = load_tokenizer(tiny_tokenizer()).tokenizer
    return lambda text, **how: tokenizer.encode(text, **how).ids


def test_blocks_are_framed(tmp_path, encode):
    stream = [i for text in TEXTS for i in encode(text, add_special_tokens=False)]
    for shard_tokens in (40, 1 << 20):
        store = prepare(
            pa.array(TEXTS), tmp_path / "out", tokenizer=tiny_tokenizer(), block_size=16,
            special_tokens="block", shard_tokens=shard_tokens, overwrite=True, remainder="pad",
        )  # fmt: skip
        expected = [[BOS, *stream[at : at + 14], EOS] for at in range(0, len(stream), 14)]
        expected[-1] += [PAD] * (16 - len(expected[-1]))
        assert store[:].tolist() == expected
        manifest = store.manifest
        assert manifest.special_tokens == "block"
        assert manifest.padding_tokens == -len(stream) % 14
        assert manifest.dropped_tokens == 0
    dropping = prepare(
        pa.array(TEXTS), tmp_path / "drop", tokenizer=tiny_tokenizer(), block_size=16,
        special_tokens="block",
    )  # fmt: skip
    assert dropping[:].tolist() == [block for block in expected if PAD not in block]
    assert dropping.manifest.dropped_tokens == len(stream) % 14


@pytest.mark.parametrize("special", ["document", "block", "none"])
def test_best_fit_keeps_documents_whole_by_the_shard(tmp_path, encode, special, monkeypatch):
    wrapped = [encode(text, add_special_tokens=special == "document") for text in TEXTS]
    room = 30 if special == "block" else 32
    pieces = [ids[at : at + room] for ids in wrapped for at in range(0, len(ids), room)]
    found = {}
    for name, batch_bytes, shard_tokens in (
        ("a", 1 << 20, 500), ("b", 60, 500), ("whole", 60, 1 << 20),
    ):  # fmt: skip
        monkeypatch.setattr(
            prepare_run, "ReadOptions", partial(ReadOptions, batch_bytes=batch_bytes)
        )
        store = prepare(
            pa.array(TEXTS), tmp_path / name, tokenizer=tiny_tokenizer(), block_size=32,
            special_tokens=special, packing="best_fit", shard_tokens=shard_tokens,
        )  # fmt: skip
        found[name] = store
        manifest = store.manifest
        blocks = store[:]
        own = sum(map(len, wrapped)) + (2 * len(store) if special == "block" else 0)
        assert manifest.packing == "best_fit"
        assert manifest.padding_tokens == blocks.size - own
        assert manifest.fill_rate == pytest.approx(own / blocks.size)
        assert manifest.dropped_tokens == 0
        # Every piece is in some block, side by side; and together they are all there is.
        strings = [" ".join(map(str, ["", *block, ""])) for block in blocks.tolist()]
        for piece in filter(None, pieces):
            assert any(" ".join(map(str, ["", *piece, ""])) in string for string in strings)
        counts = np.bincount(blocks.ravel(), minlength=400)
        expected = np.bincount(sum(pieces, []), minlength=400)  # noqa: RUF017
        if special == "block":
            expected[[BOS, EOS]] += len(store)
        expected[PAD] += manifest.padding_tokens
        assert np.array_equal(counts, expected)
    # What a batch of reading held does not show; larger shards leave no more padding.
    assert np.array_equal(found["a"][:], found["b"][:])
    assert len(found["a"].manifest.shards) > 3
    assert len(found["whole"]) <= len(found["a"])


def test_older_stores_open_as_concatenated(tmp_path):
    prepare(pa.array(TEXTS), tmp_path / "out", tokenizer=tiny_tokenizer(), block_size=16)
    path = tmp_path / "out" / "mlmfast.json"
    content = json.loads(path.read_text())
    del content["packing"], content["files"]
    for shard in content["shards"]:
        del shard["ids_start"], shard["ids_end"], shard["frame_sha256"], shard["ends_sha256"]
    path.write_text(json.dumps({**content, "checksum": checksum_of(content)}))
    assert BlockStore.open(tmp_path / "out").manifest.packing == "concat"


def test_best_fit_is_taken_with_a_hyphen_and_shown_with_an_underscore(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    options = {"tokenizer": tiny_tokenizer(), "block_size": 32}
    for name in ("best_fit", "best-fit"):
        prepare(tmp_path / "a.txt", tmp_path / name, packing=name, **options)
        arguments = ["prepare", tmp_path / "a.txt", "--tokenizer", tiny_tokenizer(),
                     "--output", tmp_path / f"{name} cli", "--block-size", 32]  # fmt: skip
        for more, status in (["--packing", name], 0), (["--packing", "first-fit"], 2):
            monkeypatch.setattr(sys, "argv", list(map(str, ["mlmfast", *arguments, *more])))
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == status
        assert "'concat', 'best_fit'" in capsys.readouterr().err
    column = pa.array([[1, 2], [3]])
    blocks = group_blocks(column, 3, packing="best-fit", pad_id=0)
    assert blocks.to_pylist() == [[1, 2, 3]]
    first, *others = (BlockStore.open(path) for path in sorted(tmp_path.glob("best*")))
    assert first.manifest.packing == "best_fit"
    assert len(others) == 3
    assert all((other[:] == first[:]).all() for other in others)


def test_the_summary_tells_the_fill_rate(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    arguments = ["prepare", tmp_path / "a.txt", "--tokenizer", tiny_tokenizer(), "--packing",
                 "best_fit", "--special-tokens", "block", "--block-size", "32"]  # fmt: skip
    for name, more in (("out", []), ("json", ["--json"])):
        command = ["mlmfast", *arguments, "--output", tmp_path / name, *more]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        said = capsys.readouterr().out
        rate = BlockStore.open(tmp_path / name).manifest.fill_rate
        if more:
            assert json.loads(said)["fill_rate"] == pytest.approx(rate, abs=KERNELS)
        else:
            assert f"{rate:.1%} full, documents whole" in said


def test_a_tokenizer_without_the_tokens_that_are_needed(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "far": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    for options, said in (
        ({"packing": "best_fit"}, "no padding token .* use --packing concat"),
        ({"special_tokens": "block"}, "no cls_token and no bos_token"),
        ({"special_tokens": "block", "block_size": 2}, "no cls_token"),
        ({"packing": "first"}, "packing must be one of concat, best_fit"),
    ):
        with pytest.raises(InputError, match=said):
            prepare(
                pa.array(["far out"]), tmp_path / "out", tokenizer=words,
                add_mask_token="<mask>", **options,
            )  # fmt: skip
    with pytest.raises(InputError, match="leaves no room"):
        prepare(
            pa.array(TEXTS), tmp_path / "out", tokenizer=tiny_tokenizer(), block_size=2,
            special_tokens="block",
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
