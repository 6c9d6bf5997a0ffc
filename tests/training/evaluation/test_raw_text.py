"""`evaluate` and `compare` on raw text: what `prepare` and an evaluation of its blocks give."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace

import pyarrow as pa
import pytest
import transformers
from click.testing import CliRunner

from evaluation_commands import command_of
from mlmfast.cli.evaluate import command
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.evaluation.compare import compare
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.options.record import SUMMARY_FILE
from mlmfast.training.options.text_blocks import TextBlocks
from toy import BLOCK_SIZE, TINY, make_blocks, sentences

TEXTS = sentences(40, seed=3)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a tokenizer, blocks, and two models `one` and `two` with that tokenizer."""
    folder = tmp_path_factory.mktemp("raw")
    blocks = open_splits(make_blocks(folder))["train"]
    transformers.set_seed(1)
    for name in ("one", "two"):
        network = new_model(
            blocks, model_type="bert", config_overrides={**TINY, "max_position_embeddings": 48}
        )
        network.save_pretrained(folder / name)
        for file in (folder / "tokenizer").iterdir():
            shutil.copy(file, folder / name)
    return folder


@pytest.fixture
def trained(root):
    """The model `one`, as if `train` had made it from the blocks."""
    blocks = open_splits(root / "blocks")["train"]
    summary = root / "one" / SUMMARY_FILE
    summary.write_text(json.dumps({"text": TextBlocks.of(blocks).to_json()}))
    yield root / "one"
    summary.unlink()


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"body": one}) + "\n" for one in TEXTS))
    return path


def same(found, blocks, data):
    """Whether two evaluations are equal to the last bit."""
    about = {"data": str(data), "text_options": found.text_options, "seconds": found.seconds}
    assert found == replace(blocks, **about)


def by_store(model, text, folder, **options):
    """What `prepare` and then `evaluate` give."""
    store = prepare(text, folder, tokenizer=model, **options)
    return evaluate(model, store, device="cpu")


def test_a_text_is_measured_in_blocks_of_the_training(trained, text, tmp_path):
    found = evaluate(trained, text, device="cpu", text_column="body")
    same(found, by_store(trained, text, tmp_path / "s", text_column="body", block_size=16), text)
    assert found.block_size == BLOCK_SIZE


def test_without_a_record_blocks_are_as_long_as_the_model_takes(root, text, tmp_path):
    found = evaluate(root / "one", text, device="cpu", text_column="body")
    options = {"text_column": "body", "block_size": 48}
    same(found, by_store(root / "one", text, tmp_path / "blocks", **options), text)


@pytest.mark.parametrize(
    "options",
    [
        {"block_size": 8, "special_tokens": "block", "remainder": "pad"},
        {"packing": "best_fit", "block_size": 32},
        {"kmer": 3, "block_size": 16},
    ],
)
def test_options_are_those_of_prepare(trained, tmp_path, options):
    path = tmp_path / "texts.csv"
    path.write_text("body;n\n" + "".join(f"{one};1\n" for one in TEXTS))
    options = {"text_column": "body", "csv_delimiter": ";", **options}
    found = evaluate(trained, path, device="cpu", **options)
    same(found, by_store(trained, path, tmp_path / "blocks", **options), path)


def test_lists_tables_and_columns(trained, tmp_path):
    files = []
    for number in range(2):
        files.append(tmp_path / f"{number}.txt")
        files[-1].write_text("".join(f"{one}\n" for one in TEXTS[number::2]))
    right = by_store(trained, files, tmp_path / "blocks", block_size=16)
    same(evaluate(trained, files, device="cpu"), right, f"{files[0]}, {files[1]}")
    texts = [*TEXTS[::2], *TEXTS[1::2]]
    same(evaluate(trained, pa.table({"text": texts}), device="cpu"), right, "Table")


def test_texts_and_stores_together(trained, root, text, tmp_path):
    """Blocks of text are then as long as those of the store, whatever the model had."""
    store = prepare(str(root / "text.txt"), tmp_path / "s", tokenizer=trained, block_size=24)
    found = evaluate(trained, {"old": store, "new": str(text)}, device="cpu", text_column="body")
    new = by_store(trained, text, tmp_path / "n", text_column="body", block_size=24)
    same(found.sources["new"], new, text)
    assert found.sources["old"].data == str(store.path)
    assert found.data == f"{store.path} and {text}"


def test_two_models_are_compared_on_text(trained, root, text, tmp_path):
    found = compare(trained, root / "two", text, device="cpu", text_column="body")
    store = prepare(text, tmp_path / "s", tokenizer=trained, text_column="body", block_size=16)
    by_blocks = compare(trained, root / "two", store, device="cpu")
    assert found.difference == by_blocks.difference
    same(found.against, by_blocks.against, text)


def test_nothing_is_left_behind(trained, text, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    evaluate(trained, text, device="cpu", text_column="body")
    with pytest.raises(InputError, match="no column 'nothing'"):
        evaluate(trained, text, device="cpu", text_column="nothing")
    assert not list(folder.iterdir())


def test_what_cannot_be_evaluated(trained, root, text, tmp_path):
    with pytest.raises(InputError, match=r"text_column: for raw text, but .* holds blocks"):
        evaluate(trained, root / "blocks", text_column="body")
    with pytest.raises(TypeError, match="unexpected keyword argument 'test_size'"):
        evaluate(trained, text, test_size=0.5)
    with pytest.raises(NotFoundError, match="There is no model"):
        evaluate(tmp_path / "no" / "such" / "model", text)
    with pytest.raises(NotFoundError, match=r"no\.txt"):
        evaluate(trained, tmp_path / "no.txt")
    network = transformers.AutoModelForMaskedLM.from_pretrained(trained)
    with pytest.raises(InputError, match=r"no tokenizer .*--tokenizer"):
        evaluate(network, text, text_column="body")
    (tmp_path / "short.txt").write_text("the old cat\n")
    with pytest.raises(InputError, match="--remainder pad"):
        evaluate(trained, tmp_path / "short.txt")
    with pytest.raises(InputError, match="takes 48"):
        evaluate(trained, text, text_column="body", block_size=64, documents="joined")
    with pytest.raises(InputError, match="dict of several"):
        compare(trained, root / "two", {"a": text})


def test_a_model_in_memory_takes_a_tokenizer(trained, text):
    network = transformers.AutoModelForMaskedLM.from_pretrained(trained)
    options = {"device": "cpu", "text_column": "body"}
    found = evaluate(network, text, tokenizer=trained, block_size=16, **options)
    assert found.loss == evaluate(trained, text, **options).loss


def test_the_command(trained, root, text):
    def run(*arguments):
        done = CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)
        return done.stdout

    given = ["--device", "cpu", "--text-column", "body", "--block-size", 8, "--json", "--quiet"]
    found = json.loads(run(trained, "--data", text, *given))
    right = evaluate(trained, text, device="cpu", text_column="body", block_size=8)
    assert (found["loss"], found["data"]) == (right.loss, str(text))
    found = json.loads(run(trained, "--against", root / "two", "--data", text, *given))
    assert found["model"]["loss"] == right.loss


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mlm_probability": 0.31234567, "seed": 5, "eval_seeds": 2, "max_eval_samples": 3},
        {"block_size": 8, "drop_empty": True, "threads": 2},
    ],
    ids=["as it is", "other masks", "other blocks"],
)
def test_the_command_of_an_evaluation_gives_it_again(trained, text, options):
    spaced = text.rename(text.with_name("all texts.jsonl"))  # a shell would take this name apart
    found = evaluate(trained, spaced, device="cpu", text_column="body", **options)
    again = command_of(found, trained)
    assert {**again, "seconds": 0} == {**found.to_dict(), "seconds": 0}


def test_the_record_of_a_training():
    blocks = TextBlocks(block_size=16, kmer=6, kmer_stride=6)
    assert TextBlocks.from_json({**blocks.to_json(), "later": 1}) == blocks
    assert TextBlocks.from_json(None) == TextBlocks()
    assert TextBlocks(kmer=3).over(blocks) == TextBlocks(block_size=16, kmer=3, kmer_stride=1)
