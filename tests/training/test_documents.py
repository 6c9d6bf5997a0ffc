"""Documents kept apart: `train`, `evaluate` and `MLMTrainer` on blocks that hold several."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from click.testing import CliRunner

from architectures import tiny_model
from mlmfast.cli.evaluate import command
from mlmfast.data.convert.convert import convert
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.lengths import longest_document
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import InputError
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.evaluation.compare import compare
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.model.load import check_fits
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from quiet_arguments import quiet_arguments
from stopped_trainings import At, press_ctrl_c
from tolerances import KERNELS
from toy import SCRATCH, TINY, sentences

LENGTH = 48


@pytest.fixture(scope="module")
def blocks(toy_blocks, tmp_path_factory):
    """Blocks of several documents each; in those of best_fit, padding follows."""
    folder = tmp_path_factory.mktemp("documents")
    text = folder / "text.txt"
    text.write_text("\n".join(sentences(300, seed=3)))
    made = {}
    for packing in ("concat", "best_fit"):
        made[packing] = folder / packing
        prepare(
            text,
            made[packing],
            tokenizer=toy_blocks / "train",
            block_size=LENGTH,
            packing=packing,
            test_size=0.2,
            seed=0,
        )
    return made


@pytest.fixture(scope="module")
def checkpoint(blocks, tmp_path_factory):
    transformers.set_seed(1)
    store = open_splits(blocks["concat"])["test"]
    network = new_model(
        store, model_type="roberta", config_overrides=TINY | {"initializer_range": 0.3}
    )
    folder = tmp_path_factory.mktemp("documents") / "model"
    network.save_pretrained(folder)
    return folder


def loss_of_documents(model, store):
    """The loss of an evaluation, each document of each block in a call of its own."""
    batch = EvaluationBlocks(store, documents=True).__getitems__(range(len(store)))
    total, count = 0.0, 0
    for ids, labels, own in zip(
        batch["input_ids"], batch["labels"], batch["document_ids"], strict=True
    ):
        for number in range(int(own.max()) + 1):
            at = own == number
            with torch.no_grad():
                logits = model(input_ids=ids[None, at]).logits[0]
            total += torch.nn.functional.cross_entropy(logits, labels[at], reduction="sum").item()
            count += int((labels[at] != -100).sum())
    return total / count


@pytest.mark.parametrize("packing", ["concat", "best_fit"])
def test_an_evaluation_reads_each_document_alone(blocks, checkpoint, packing):
    store = open_splits(blocks[packing])["test"]
    model = transformers.AutoModelForMaskedLM.from_pretrained(checkpoint).eval()
    found = evaluate(checkpoint, store, device="cpu")
    assert found.loss == pytest.approx(loss_of_documents(model, store), rel=KERNELS)
    assert found.documents == "separate"
    assert "documents separate" in str(found)
    joined = evaluate(checkpoint, store, documents="joined", device="cpu")
    assert joined.documents == "joined"
    assert abs(joined.loss - found.loss) > 1e-3


def test_a_training_keeps_documents_apart_and_says_so(blocks, tmp_path):
    options = SCRATCH | {"max_steps": 4, "eval_strategy": "steps", "eval_steps": 4}
    separate = train(blocks["concat"], output=tmp_path / "one", **options)
    joined = train(blocks["concat"], output=tmp_path / "two", documents="joined", **options)
    assert (separate.after.documents, joined.after.documents) == ("separate", "joined")
    assert separate.train_loss != joined.train_loss
    again = evaluate(tmp_path / "one", blocks["concat"], device="cpu")
    assert again.loss == pytest.approx(separate.after.loss, rel=KERNELS)
    assert "--documents separate" in (tmp_path / "one" / "README.md").read_text()


def test_both_models_of_a_comparison_read_the_same_text(blocks, checkpoint):
    store = open_splits(blocks["concat"])["test"]
    other = tiny_model("convbert", vocab_size=store.manifest.vocab_size)
    model = transformers.AutoModelForMaskedLM.from_pretrained(checkpoint)
    found = compare(model, other, store, device="cpu")
    assert (found.model.documents, found.against.documents) == ("joined", "joined")
    assert compare(model, model, store, device="cpu").model.documents == "separate"


def test_the_command_line_takes_the_option(blocks, checkpoint):
    arguments = [str(checkpoint), "--data", str(blocks["concat"]), "--json", "--device", "cpu"]
    for mode in ("separate", "joined"):
        result = CliRunner().invoke(command, [*arguments, "--documents", mode])
        assert json.loads(result.stdout)["documents"] == mode


def test_a_store_without_boundaries_cannot_separate(blocks, checkpoint, toy_blocks, tmp_path):
    table = tmp_path / "blocks.parquet"
    pq.write_table(open_splits(blocks["concat"])["test"].to_arrow(), table)
    convert(table, tmp_path / "blocks", to="store", tokenizer=toy_blocks / "train")
    store = BlockStore.open(tmp_path / "blocks")
    assert evaluate(checkpoint, store, device="cpu").documents == "joined"
    for run in (
        lambda: evaluate(checkpoint, store, documents="separate"),
        lambda: train(store, output=tmp_path / "model", documents="separate", **SCRATCH),
    ):
        with pytest.raises(InputError, match=r"does not say where documents begin: prepare it"):
            run()


def test_wrong_values_and_data_sets_that_do_not_number_documents(blocks, checkpoint, tmp_path):
    store = open_splits(blocks["concat"])["train"]
    with pytest.raises(InputError, match=r"documents is 'apart'; expected separate or joined"):
        evaluate(checkpoint, store, documents="apart")
    model = transformers.AutoModelForMaskedLM.from_pretrained(checkpoint)
    with pytest.raises(InputError, match=r"give MaskedBlocks\(store, documents=True\)"):
        MLMTrainer(
            model,
            quiet_arguments(tmp_path),
            train_dataset=MaskedBlocks(store),
            documents="separate",
        )


def test_blocks_may_be_longer_than_the_positions_of_a_model(blocks, tmp_path):
    store = open_splits(blocks["best_fit"])["train"]
    longest = longest_document(store)
    numbers = store.document_ids(np.arange(len(store), dtype=np.uint64))
    lengths = [np.bincount(row[row >= 0]).max() for row in numbers]
    assert longest == max(lengths) < LENGTH
    overrides = TINY | {"max_position_embeddings": longest}
    result = train(
        blocks["best_fit"],
        output=tmp_path / "model",
        **SCRATCH | {"model_type": "bert", "config_overrides": overrides, "max_steps": 2},
    )
    assert math.isfinite(result.after.loss)
    too_few = tiny_model("bert", max_position_embeddings=longest - 1, vocab_size=300)
    with pytest.raises(InputError, match=rf"hold documents of {longest} tokens, but the model"):
        check_fits(too_few, store, documents=True)


def test_a_resume_in_another_mode_is_refused(blocks, tmp_path):
    options = SCRATCH | {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    with pytest.raises(TrainingInterrupted):
        train(
            blocks["concat"], output=tmp_path / "model", **options, callbacks=[At(2, press_ctrl_c)]
        )
    with pytest.raises(InputError, match="documents"):
        train(
            blocks["concat"],
            output=tmp_path / "model",
            documents="joined",
            resume_from_checkpoint=True,
            **options,
        )
