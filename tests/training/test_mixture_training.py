"""Trainings on a mixture: what a step reads, what is measured of each source, and resumes."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch

import mlmfast
from log_lines import log_lines
from mixed_stores import make_stores
from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import InputError
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from mlmfast.training.trainer.source_reads import sources_read
from mlmfast.training.trainer.step_batches import StepBatches, step_batch
from quiet_arguments import quiet_arguments
from stopped_trainings import At, press_ctrl_c, same_weights
from tolerances import KERNELS
from toy import SCRATCH

OPTIONS = SCRATCH | {"num_train_epochs": 2, "report": True}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return make_stores(tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module")
def mixture(folders):
    return mlmfast.Mixture([folders["large"], folders["small"]], [0.6, 0.4])


@pytest.fixture(scope="module")
def whole(mixture, tmp_path_factory):
    """A training on the mixture, and the lines of its log."""
    with log_lines() as lines:
        output = tmp_path_factory.mktemp("whole") / "model"
        return train(mixture, output=output, **OPTIONS), lines


def rows_of(batch):
    return Counter(map(tuple, torch.cat([batch["input_ids"], batch["labels"]], 1).tolist()))


def batches_of(mixture, batch, *, rank=0, world=1, accumulated=1, drop_last=False):
    blocks = MaskedBlocks(mixture, seed=3)
    sampler = BlockSampler(len(blocks), batch, rank, world, False, drop_last, 3)
    return StepBatches(blocks, sampler, accumulated)


def test_a_step_reads_the_same_blocks_for_any_division_among_processes_and_batches(mixture):
    for step in (0, 2, 4):
        alone = batches_of(mixture, 12)
        ranks = [batches_of(mixture, 3, rank=rank, world=2, accumulated=2) for rank in range(2)]
        made = step_batch(mixture, step, batch_size=12, seed=3)
        for feeds in ([alone], ranks):
            assert feeds[0].items_of(step)[1].tolist() == alone.items_of(step)[1].tolist()
            found = Counter()
            for feed in feeds:
                for batch in feed.take(object(), feed.accumulated, step):
                    found += rows_of(batch)
                feed.close()
            assert found == rows_of(made)
        ids = torch.where(made["labels"] == -100, made["input_ids"], made["labels"])
        _, named = alone.blocks_of(step)  # as the error of a bad loss does
        assert ids.tolist() == mixture.joined[named.astype(np.int64)].tolist()


def test_what_was_read_of_each_source_is_what_the_batches_held(mixture):
    for drop_last in (False, True):
        batches = batches_of(mixture, 8, accumulated=2, drop_last=drop_last)
        order = mixture.order(3)
        steps = 2 * batches.steps_per_epoch + 1
        counts = Counter()
        for step in range(steps):
            epoch, items = batches.items_of(step)
            for run in order.runs(items, epoch):
                counts[run.source] += len(run.blocks)
        found = sources_read(batches, steps)
        assert [source.read for source in found] == [counts[0], counts[1]]
        assert found[1].epochs == counts[1] / len(mixture.stores[1]) > 1


def test_the_result_and_the_log_say_what_was_read_and_how_often(whole, mixture):
    result, lines = whole
    large, small = result.sources
    assert (large.name, small.name) == ("large", "small")
    assert large.read + small.read == 2 * len(mixture) == 2 * result.blocks
    assert small.epochs > 1
    line = next(line for line in lines if line.startswith(f"mixture of {result.steps} steps: "))
    read = f"small 40.0%, {small.read} blocks ({small.epochs:.2f} epochs of {small.blocks})"
    assert read in line
    assert line.removeprefix(f"mixture of {result.steps} steps: ").split("; ")[1] in str(result)


def test_every_source_is_measured_as_evaluate_does_alone(whole, folders):
    result, _ = whole
    for name in ("large", "small"):
        alone = evaluate(result.output, folders[name], device="cpu")
        found = result.after.sources[name]
        assert found.loss == pytest.approx(alone.loss, rel=KERNELS)
        assert found.masked_tokens == alone.masked_tokens
        assert found.bits_per_byte == pytest.approx(alone.bits_per_byte, rel=KERNELS)
        assert result.before.sources[name].loss != found.loss
        assert found.command in result.after.command
    parts = result.after.sources.values()
    masked = sum(part.masked_tokens for part in parts)
    assert result.after.masked_tokens == masked
    mean = sum(part.loss * part.masked_tokens for part in parts) / masked
    assert result.after.loss == pytest.approx(mean, rel=KERNELS)


def test_evaluate_measures_several_stores_together_and_one_by_one(whole, folders, mixture):
    result, _ = whole
    given = {name: folders[name] for name in ("large", "small")}
    found = evaluate(result.output, given, device="cpu", batch_size=3)
    assert found.loss == pytest.approx(result.after.loss, rel=KERNELS)
    for name, source in found.sources.items():
        assert source.loss == pytest.approx(result.after.sources[name].loss, rel=KERNELS)
        assert source.blocks == len(mixture.tests[name])
        assert source.text_error is None or source.text_error > 0
    assert f"\n  small: perplexity {found.sources['small'].perplexity:,.2f}" in str(found)
    twice = evaluate(result.output, given, device="cpu", eval_seeds=2, max_eval_samples=2)
    assert [source.blocks for source in twice.sources.values()] == [2, 2]
    assert twice.sources["large"].standard_errors
    with pytest.raises(InputError, match="for one block store: leave out all but one of large"):
        evaluate(result.output, given, pseudo_perplexity=2)
    with pytest.raises(InputError, match="no block store to evaluate on"):
        evaluate(result.output, {})


def test_card_report_and_summary_name_the_sources(whole):
    result, _ = whole
    small = result.sources[1]
    after = f"{result.after.sources['small'].perplexity:,.2f}"
    card = (result.output / "README.md").read_text()
    assert f"| `{small.path}` | 40.00% | {small.blocks} | {small.read} |" in card
    assert f"| {after} |" in card
    page = (result.output / "report.html").read_text()
    assert "Sources of the mixture" in page
    assert f"40.00%, {small.read} blocks of" in page
    summary = json.loads((result.output / "mlmfast_training.json").read_text())
    assert summary["sources"][1]["read"] == small.read
    assert summary["after"]["sources"]["small"]["loss"] == result.after.sources["small"].loss


def test_a_stopped_training_ends_with_the_same_bits(whole, mixture, tmp_path):
    result, _ = whole
    output = tmp_path / "stopped"
    with pytest.raises(TrainingInterrupted):
        train(mixture, output=output, callbacks=[At(5, press_ctrl_c)], **OPTIONS)
    folders = [store.path.parent for store in mixture.stores]
    resume = {"output": output, "resume_from_checkpoint": True, **OPTIONS}
    with pytest.raises(InputError, match=r"another mixture \(0.6, 0.4, now 0.5, 0.5\)"):
        train(mlmfast.Mixture(folders, [0.5, 0.5]), **resume)
    with pytest.raises(InputError, match="another data"):
        train(mlmfast.Mixture(folders[::-1], [0.6, 0.4]), **resume)
    with pytest.raises(InputError, match="another data"):
        train(folders[0], **resume)
    again = train(mixture, **resume)
    assert same_weights(output, result.output)
    assert again.sources == result.sources
    before = again.before.sources["small"]
    assert before.loss == pytest.approx(result.before.sources["small"].loss, abs=1e-6)


def test_evaluation_blocks_of_several_stores_have_the_masks_that_each_has_alone(folders):
    stores = {name: BlockStore.open(folders[name] / "test") for name in ("large", "small")}
    blocks = EvaluationBlocks(stores, limit=3)
    alone = [EvaluationBlocks(store, limit=3) for store in stores.values()]
    assert len(blocks) == sum(map(len, alone))
    batch = blocks.__getitems__(range(len(blocks)))
    apart = [each.__getitems__(range(len(each))) for each in alone]
    for name in ("input_ids", "labels"):
        assert torch.equal(batch[name], torch.cat([each[name] for each in apart]))
    assert blocks.part_of([0, len(alone[0]), len(blocks) - 1]).tolist() == [0, 1, 1]


def test_a_trainer_refuses_what_is_not_the_mixtures_order(mixture, tmp_path):
    model = torch.nn.Linear(1, 1)

    def loader(**given):
        arguments = quiet_arguments(tmp_path, remove_unused_columns=False, **given)
        trainer = MLMTrainer(model, arguments, train_dataset=MaskedBlocks(mixture))
        return trainer.get_train_dataloader()

    with pytest.raises(InputError, match="group_by_length does not go with a mixture"):
        loader(group_by_length=True)
    with pytest.raises(InputError, match=r"data_seed is 5, but the order .* has the seed 0"):
        loader(data_seed=5)
    with pytest.raises(InputError, match=r"limit of the blocks .* does not go with a mixture"):
        MaskedBlocks(mixture, limit=3)
    with pytest.raises(InputError, match="pack_documents does not go with a mixture"):
        MaskedBlocks(mixture, pack_documents=True)
