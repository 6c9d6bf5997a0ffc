from __future__ import annotations

import errno
import functools
import gzip
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpus import documents, tiny_tokenizer
from mlmfast.data.prepare import run as prepare_run
from mlmfast.data.prepare.api import prepare
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.store import shard_file
from mlmfast.data.store.store import BlockStore
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError, NotFoundError, OutputExistsError
from places import shared
from prepare_runs import files_of
from published import languages, published_folder, python_texts

TEXTS = documents(300)


def chain(texts, tokenizer, block_size):
    """Tokenize and group as run_mlm.py does, all in one batch."""
    rows = [tokenizer.encode(text).ids for text in texts]
    tokens = list(itertools.chain.from_iterable(rows))
    whole = len(tokens) // block_size * block_size
    return [tokens[at : at + block_size] for at in range(0, whole, block_size)]


def recipe(files, kind, column, tokenizer_folder, block_size, cache):
    """Do what the Hugging Face guide does, with its own libraries."""
    datasets = pytest.importorskip("datasets")
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    loaded = datasets.load_dataset(kind, data_files=files, split="train", cache_dir=str(cache))
    loaded = loaded.flatten()

    def tokenize(rows):
        texts = [" ".join(row) if isinstance(row, list) else row for row in rows[column]]
        return tokenizer(texts)

    rows = loaded.map(tokenize, batched=True, remove_columns=loaded.column_names)
    tokens = list(itertools.chain.from_iterable(rows["input_ids"]))
    whole = len(tokens) // block_size * block_size
    return [tokens[at : at + block_size] for at in range(0, whole, block_size)]


def in_batches_of(batch_bytes, monkeypatch):
    options = functools.partial(ReadOptions, batch_bytes=batch_bytes)
    monkeypatch.setattr(prepare_run, "ReadOptions", options)


@pytest.fixture
def tokenizer():
    return load_tokenizer(tiny_tokenizer()).tokenizer


def test_text_gives_the_blocks_of_the_guides_recipe(tmp_path):
    for number, part in enumerate((TEXTS[:120], TEXTS[120:121], TEXTS[121:])):
        (tmp_path / f"{number}.txt").write_text("".join(f"{text}\n" for text in part))
    files = sorted(map(str, tmp_path.glob("*.txt")))
    expected = recipe(files, "text", "text", tiny_tokenizer(), 32, tmp_path / "cache")
    store = prepare(files, tmp_path / "out", tokenizer=tiny_tokenizer(), block_size=32)
    assert store[:].tolist() == expected
    assert store.manifest.documents == len(TEXTS)


def test_nested_json_gives_the_blocks_of_the_guides_recipe(tmp_path):
    path = tmp_path / "a.jsonl"
    groups = [TEXTS[at : at + at % 4] for at in range(0, 290, 3)]
    path.write_text(
        "".join(json.dumps({"q": 1, "answers": {"text": group}}) + "\n" for group in groups)
    )
    expected = recipe([str(path)], "json", "answers.text", tiny_tokenizer(), 32, tmp_path / "cache")
    store = prepare(
        path, tmp_path / "out", tokenizer=tiny_tokenizer(), text_column="answers.text",
        block_size=32,
    )  # fmt: skip
    assert store[:].tolist() == expected


def own_lines():
    texts = [*languages(), *(line for text in python_texts() for line in text.split("\n"))][:2000]
    groups = [texts[at : at + at % 4] for at in range(0, len(texts), 3)]
    return [json.dumps({"answers": {"text": group}}).encode() + b"\n" for group in groups]


def eli5_lines():
    file = shared("text", "eli5_category", "validation2.jsonl.gz")
    return gzip.decompress(file.read_bytes()).splitlines(keepends=True)[:300]


@pytest.mark.parametrize("lines", [own_lines, eli5_lines])
def test_real_text_gives_the_blocks_of_the_guides_recipe(lines, tmp_path):
    roberta = published_folder("roberta-base")
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(lines()))
    expected = recipe([str(path)], "json", "answers.text", roberta, 128, tmp_path / "cache")
    store = prepare(path, tmp_path / "out", tokenizer=roberta, text_column="answers.text")
    assert store[:].tolist() == expected
    assert store.manifest.vocab_size == 50_265


def test_nothing_is_lost_between_batches_files_and_shards(tmp_path, tokenizer, monkeypatch):
    in_batches_of(100, monkeypatch)
    expected = chain(TEXTS, tokenizer, 16)
    inputs = [pa.array(TEXTS[:100]), pa.table({"text": TEXTS[100:]})]
    for shard_tokens in (1, 16, 100, 1 << 20):
        store = prepare(
            inputs, tmp_path / "out", tokenizer=tiny_tokenizer(), block_size=16,
            shard_tokens=shard_tokens, overwrite=True,
        )  # fmt: skip
        assert store[:].tolist() == expected
        assert store.manifest.dropped_tokens < 16
        per_shard = max(1, shard_tokens // 16)
        assert len(store.manifest.shards) == -(-len(expected) // per_shard)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    for name, threads in (("a", 1), ("b", 3)):
        prepare(
            pa.array(TEXTS), tmp_path / name, tokenizer=tiny_tokenizer(), block_size=16,
            test_size=0.3, threads=threads, shard_tokens=500,
        )  # fmt: skip
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_the_split_takes_whole_documents_and_depends_on_the_seed_alone(tmp_path, tokenizer):
    texts = [f"{n} fox" for n in range(500)]
    halves = {}
    for seed in (0, 1):
        splits = prepare(
            pa.array(texts), tmp_path / f"out{seed}", tokenizer=tiny_tokenizer(), block_size=4,
            test_size=0.25, seed=seed, special_tokens="none", remainder="pad",
        )  # fmt: skip
        decoded = {
            name: tokenizer.decode(store[:].ravel().tolist()) for name, store in splits.items()
        }
        halves[seed] = {name: text.split(" fox")[:-1] for name, text in decoded.items()}
        together = halves[seed]["train"] + halves[seed]["test"]
        assert sorted(map(int, together)) == list(range(500))
        assert 80 < len(halves[seed]["test"]) < 170
        assert sum(store.manifest.documents for store in splits.values()) == 500
    assert halves[0] != halves[1]

    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_from_disk(str(tmp_path / "out0"))
    assert {name: len(rows) for name, rows in loaded.items()} == {
        name: len(BlockStore.open(tmp_path / "out0" / name)) for name in ("train", "test")
    }


def test_the_split_does_not_change_with_the_batches(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(TEXTS))
    stores = []
    for batch_bytes in (1 << 20, 50):
        in_batches_of(batch_bytes, monkeypatch)
        stores.append(
            prepare(
                path,
                tmp_path / str(batch_bytes),
                tokenizer=tiny_tokenizer(),
                block_size=16,
                test_size=0.3,
            )
        )
    for name in ("train", "test"):
        assert np.array_equal(stores[0][name][:], stores[1][name][:])


def test_special_tokens_and_padding(tmp_path, tokenizer):
    texts = ["the fox", "a dog"]
    plain = [i for text in texts for i in tokenizer.encode(text, add_special_tokens=False).ids]
    wrapped = [i for text in texts for i in tokenizer.encode(text).ids]
    for special, tokens in (("none", plain), ("document", wrapped)):
        store = prepare(
            pa.array(texts), tmp_path / "out", tokenizer=tiny_tokenizer(), block_size=64,
            special_tokens=special, remainder="pad", overwrite=True,
        )  # fmt: skip
        assert store[0].tolist() == tokens + [1] * (64 - len(tokens))
        manifest = store.manifest
        assert (manifest.tokens, manifest.padding_tokens) == (64, 64 - len(tokens))
        assert (manifest.dropped_tokens, manifest.special_tokens) == (0, special)
        assert manifest.text_bytes == len("".join(texts))


def test_empty_null_and_limited_documents_are_counted(tmp_path, tokenizer):
    texts = ["the fox", "", None, "a dog", "", "quick"]

    def run(**options):
        return run_prepare(
            pa.array(texts),
            tmp_path / "out",
            PrepareOptions(tokenizer=tiny_tokenizer(), block_size=1, overwrite=True, **options),
        )

    report = run()
    assert (report.documents, report.empty, report.null) == (5, 2, 1)
    there = [text for text in texts if text is not None]
    assert report.stores["train"][:].tolist() == chain(there, tokenizer, 1)
    report = run(drop_empty=True)
    assert (report.documents, report.empty, report.null) == (3, 2, 1)
    report = run(limit=4)
    assert (report.documents, report.empty, report.null) == (3, 1, 1)
    assert report.text_bytes == len("the foxa dog")
    assert run(limit=2**64).documents == 5  # more than any file has: all


def test_invalid_utf8_is_counted(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"the fox\nb\xffd\nagain\n")
    for policy, documents_, replaced, skipped in (("replace", 3, 1, 0), ("skip", 2, 0, 1)):
        report = run_prepare(
            path,
            tmp_path / "out",
            PrepareOptions(
                tokenizer=tiny_tokenizer(), block_size=2, on_invalid_utf8=policy, overwrite=True
            ),
        )
        assert (report.documents, report.replaced, report.skipped, report.null) == (
            documents_, replaced, skipped, 0,
        )  # fmt: skip


def test_large_vocabularies_take_four_bytes(tmp_path):
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "far": 70_000}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_special_tokens([AddedToken("[MASK]")])
    store = prepare(pa.array(["far out"]), tmp_path / "out", tokenizer=words, block_size=2)
    assert store.dtype == np.uint32
    assert store[:].tolist() == [[70_000, 0]]
    datasets = pytest.importorskip("datasets")
    assert datasets.load_from_disk(str(tmp_path / "out"))[0] == {"input_ids": [70_000, 0]}


@pytest.mark.parametrize(
    ("inputs", "options", "said"),
    [
        (pa.array(["fox"]), {}, r"1 document gave \d tokens, .* one block of 128"),
        (pa.array([], pa.string()), {}, "no text"),
        (pa.array([None, None], pa.string()), {}, r"no text .*2 null, empty or invalid"),
        (pa.array([""]), {"special_tokens": "none"}, "no text"),
        (pa.array(TEXTS), {"test_size": 0.001}, "The test split got .* another --test-size"),
        (pa.array(TEXTS), {"test_size": 1.5}, "test_size"),
        (pa.array(TEXTS), {"block_size": 0}, "block_size must be a whole number from 1 up"),
        (pa.array(TEXTS), {"block_size": 2.0}, "block_size"),
        (pa.array(TEXTS), {"limit": 0}, "limit"),
        (pa.array(TEXTS), {"seed": -1}, "seed"),
        (pa.array(TEXTS), {"remainder": "keep"}, "drop, pad"),
        (pa.array(TEXTS), {"special_tokens": "all"}, "document, block, none"),
        (pa.array(TEXTS), {"on_invalid_utf8": "ignore"}, "error, replace, skip"),
        (pa.array(TEXTS), {"format": "docx"}, "txt, jsonl"),
        (pa.table({"body": TEXTS}), {}, "no column 'text'.*'body'"),
        ("gone.txt", {}, "no file 'gone.txt'"),
    ],
)
def test_bad_input_leaves_nothing(tmp_path, inputs, options, said):
    with pytest.raises((InputError, NotFoundError), match=said):
        prepare(inputs, tmp_path / "new" / "out", tokenizer=tiny_tokenizer(), **options)
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_without_mask_token(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "far": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    texts = pa.array(["far out"])
    with pytest.raises(InputError, match="--add-mask-token"):
        prepare(texts, tmp_path / "out", tokenizer=words, block_size=2)
    store = prepare(texts, tmp_path / "out", tokenizer=words, block_size=2, add_mask_token="<mask>")
    assert (store.manifest.mask_token_id, store.manifest.vocab_size) == (2, 3)
    with pytest.raises(InputError, match="no padding token"):
        prepare(texts, tmp_path / "pad", tokenizer=words, add_mask_token="<mask>", remainder="pad")


def test_blocks_longer_than_the_model_are_warned_about(tmp_path):
    folder = shutil.copytree(tiny_tokenizer(), tmp_path / "tokenizer")
    config = Path(folder) / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_max_length": 16}))
    with pytest.warns(UserWarning, match="Blocks of 32 tokens are longer than the 16"):
        prepare(pa.array(TEXTS), tmp_path / "out", tokenizer=folder, block_size=32)


def test_a_store_is_replaced_only_when_asked_and_never_by_a_failure(tmp_path):
    out = tmp_path / "out"
    prepare(pa.array(TEXTS), out, tokenizer=tiny_tokenizer(), block_size=16)
    before = files_of(tmp_path)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        prepare(pa.array(TEXTS), out, tokenizer=tiny_tokenizer(), block_size=16)
    with pytest.raises(InputError):
        prepare(pa.array(["fox"]), out, tokenizer=tiny_tokenizer(), overwrite=True)
    assert files_of(tmp_path) == before
    with pytest.raises(InputError, match="lies in the output"):
        prepare(out / "tokenizer.json", out, tokenizer=tiny_tokenizer(), format="txt",
                overwrite=True)  # fmt: skip
    with pytest.raises(InputError, match="block store already"):
        prepare(out, tmp_path / "again", tokenizer=tiny_tokenizer())


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_a_fault_in_the_middle_leaves_nothing(tmp_path, monkeypatch, fault):
    real = shard_file.group_columns
    calls = []

    def fail_later(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            assert list(tmp_path.iterdir()) != []
            raise fault
        return real(*args, **kwargs)

    monkeypatch.setattr(shard_file, "group_columns", fail_later)
    with pytest.raises((KeyboardInterrupt, InputError)) as caught:
        prepare(
            pa.array(TEXTS), tmp_path / "out", tokenizer=tiny_tokenizer(), block_size=16,
            shard_tokens=64,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    if isinstance(fault, OSError):
        assert "is full" in str(caught.value)
