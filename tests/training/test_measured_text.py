"""`train` measures on raw text (`eval_data`): the blocks and figures of `evaluate`."""

from __future__ import annotations

import json

import pytest

from evaluation_commands import command_of
from mlmfast.data.prepare.api import prepare
from mlmfast.errors import InputError
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.train import train
from tolerances import KERNELS
from toy import SCRATCH, make_blocks, sentences


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with blocks in special tokens, and two texts."""
    folder = tmp_path_factory.mktemp("measured")
    make_blocks(folder, special_tokens="block", test_size=None)
    lines = [json.dumps({"body": one}) + "\n" for one in sentences(40, seed=3)]
    (folder / "texts.jsonl").write_text("".join(lines))
    (folder / "more.jsonl").write_text("".join(lines[:25]))
    return folder


@pytest.fixture
def options(tmp_path):
    """Options of a training of one step; its blocks are cached below the folder of the test."""
    return {"max_steps": 1, "cache_dir": str(tmp_path / "cache"), **SCRATCH}


def test_texts_are_measured_as_prepare_and_evaluate_do(root, options, tmp_path):
    given = {"tokenizer": root / "tokenizer", "block_size": 16, "special_tokens": "block"}
    texts = {name: str(root / f"{name}.jsonl") for name in ("texts", "more")}
    stores = {
        name: prepare(text, tmp_path / name, text_column="body", **given)
        for name, text in texts.items()
    }
    by_store = train(root / "blocks", output=tmp_path / "one", eval_data=stores, **options)
    mixed = texts | {"more": stores["more"]}  # stores and texts go together
    options["text_column"] = "body"
    found = train(root / "blocks", output=tmp_path / "two", eval_data=mixed, **options)
    for name in texts:
        one, other = found.after.sources[name], by_store.after.sources[name]
        assert (one.loss, one.bits_per_byte) == (other.loss, other.bits_per_byte)
        assert one.masked_tokens == other.masked_tokens
    card = (tmp_path / "two" / "README.md").read_text()
    assert f"mlmfast evaluate MODEL --data {texts['texts']} " in card
    again = command_of(found.after.sources["texts"], tmp_path / "two")
    assert again["masked_tokens"] == found.after.sources["texts"].masked_tokens
    assert again["loss"] == pytest.approx(found.after.sources["texts"].loss, rel=KERNELS)
    assert "cache" not in card
    assert found.before.loss == by_store.before.loss
    measured = evaluate(tmp_path / "two", texts, device="cpu", text_column="body")
    assert measured.masked_tokens == found.after.masked_tokens
    assert measured.loss == pytest.approx(found.after.loss, rel=KERNELS)


def test_the_text_of_a_recipe_becomes_blocks_as_long_as_those_of_its_phases(
    root, options, tmp_path
):
    del options["max_steps"]
    phase = {"data": str(root / "blocks"), "steps": 1, "batch_size": 2}
    recipe = {"eval_data": str(root / "texts.jsonl"), "text_column": "body", "phases": [phase]}
    found = train(recipe=recipe, output=tmp_path / "one", **options)
    assert found.after.block_size == 16
    measured = evaluate(tmp_path / "one", recipe["eval_data"], device="cpu", text_column="body")
    assert measured.masked_tokens == found.after.masked_tokens


def test_what_cannot_be_measured(root, options, tmp_path):
    given = {"output": tmp_path / "out", **options}
    (tmp_path / "short.txt").write_text("the old cat\n")
    with pytest.raises(InputError, match=r"eval_data .*short\.txt: .*mlmfast prepare"):
        train(root / "blocks", eval_data=tmp_path / "short.txt", **given)
    with pytest.raises(InputError, match=r"eval_data .*no column 'text'.*'body'"):
        train(root / "blocks", eval_data=root / "texts.jsonl", **given)
    with pytest.raises(InputError, match=r"--text-column: for text that is still to be prepared"):
        train(root / "blocks", eval_data=root / "blocks", text_column="body", **given)
    with pytest.raises(InputError, match=r"--max-seq-length: for text"):
        train(root / "blocks", eval_data=root / "texts.jsonl", max_seq_length=8, **given)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()
