"""One checkpoint on a task: its linear probe, and its fine-tuning."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from mlmfast.training.probing.encoder import EncodedTexts, Encoder, open_encoder, pooled_states
from mlmfast.training.probing.linear import fit_linear_probe
from mlmfast.training.probing.scores import Score, score_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlmfast.training.probing.options import ProbeOptions
    from mlmfast.training.probing.tasks import Division, Task

LINEAR = "linear probe"
FINE_TUNED = "fine-tuned"


def measure(
    name: str,
    source: str,
    task: Task,
    divisions: dict[int, Division],
    options: ProbeOptions,
    folder: Path | None,
) -> Iterator[tuple[Score, np.ndarray]]:
    """Probe a checkpoint and, with `finetune`, fine-tune it.

    Args:
        name: its name in the table.
        source: its folder or Hub name.
        task: the texts.
        divisions: seed -> the division of the training texts, `S` of them.
        options: how to compute.
        folder: where to write the best fine-tuned model, whose parent exists; None writes none.

    Yields:
        The score of each method, and its predictions, int64 `[S, M]`.
    """
    started = time.perf_counter()
    encoder, network = open_encoder(source, options)
    texts = encoder.encode(task.train, task.test)
    features = pooled_states(network, texts.train + texts.test, encoder.pad_id, options)
    del network
    train, test = features[: len(task.train)], features[len(task.train) :]
    answers: list[np.ndarray] = []
    by_seed: list[dict[str, Any]] = []
    for seed, division in divisions.items():
        probe = fit_linear_probe(train, task.train_classes, division, test)
        answers.append(probe.predictions)
        held_out = probe.held_out_accuracy
        by_seed.append({"seed": seed, "strength": probe.strength, "held_out_accuracy": held_out})
    yield _scored(name, LINEAR, answers, task, by_seed, texts, started)
    if options.finetune:
        started = time.perf_counter()
        answers, by_seed = _fine_tune(name, encoder, task, texts, divisions, options, folder)
        yield _scored(name, FINE_TUNED, answers, task, by_seed, texts, started)


def _scored(
    name: str,
    method: str,
    answers: list[np.ndarray],
    task: Task,
    by_seed: list[dict[str, Any]],
    texts: EncodedTexts,
    started: float,
) -> tuple[Score, np.ndarray]:
    predictions = np.stack(answers)
    score = score_of(
        name,
        method,
        predictions,
        task.test_classes,
        by_seed,
        truncated=texts.truncated,
        seconds=time.perf_counter() - started,
    )
    return score, predictions


def _fine_tune(
    name: str,
    encoder: Encoder,
    task: Task,
    texts: EncodedTexts,
    divisions: dict[int, Division],
    options: ProbeOptions,
    folder: Path | None,
) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """Fine-tune with every seed; keep the model that is best on its held-out texts."""
    from mlmfast.training.probing.finetune import fine_tune

    answers: list[np.ndarray] = []
    by_seed: list[dict[str, Any]] = []
    best = -1.0
    bar = tqdm(
        divisions.items(), unit="seed", desc=name, disable=None if options.progress else True
    )
    for seed, division in bar:
        tuned = fine_tune(encoder, task, texts, division, seed, options)
        held_out = tuned.held_out_accuracy
        if folder is not None and held_out > best:
            tuned.save(folder, encoder)
            best = held_out
        answers.append(tuned.predictions)
        by_seed.append({"seed": seed, "epoch": tuned.epoch, "held_out_accuracy": held_out})
    return answers, by_seed
