"""The classification task: texts, classes, and the divisions of the training texts."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from mlmfast.data.sources.labelled import LabelledTexts, read_labelled
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.training.probing.options import ProbeOptions

logger = logging.getLogger(__name__)

# The share of the training texts on which each seed chooses its strength or its epoch. With
# `MIN_ROWS` of a class, one of them is among those.
HELD_OUT = 0.2
MIN_ROWS = 5
_SHOWN = 5


class Division(NamedTuple):
    """Rows of the training texts: those to fit, and those to choose settings on, int64 both."""

    fit: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class Task:
    """Texts with the numbers of their classes.

    Attributes:
        classes: the labels, `[K]`; sorted, as numbers if all are.
        train: texts to train on.
        train_classes: int64 `[N]`, the number of each text's class.
        test: texts to test on.
        test_classes: int64 `[M]`.
        origin: where the texts come from, in words.
        repeated: number of test texts that are also training texts.
    """

    classes: list[str]
    train: list[str]
    train_classes: np.ndarray
    test: list[str]
    test_classes: np.ndarray
    origin: str
    repeated: int

    def divide(self, seed: int) -> Division:
        """Divide the training texts with the shares of the classes kept."""
        rows = np.arange(len(self.train))
        parts = train_test_split(
            rows, test_size=HELD_OUT, stratify=self.train_classes, random_state=seed
        )
        return Division(*map(np.sort, parts))

    def class_shares(self) -> dict[str, float]:
        """Return each class's share of the test texts, the largest first."""
        counts = np.bincount(self.test_classes, minlength=len(self.classes)) / len(self.test)
        order = np.argsort(-counts, kind="stable")
        return {self.classes[each]: float(counts[each]) for each in order}


def read_task(options: ProbeOptions) -> Task:
    """Read and check the texts.

    Raises:
        NotFoundError: a file does not exist.
        InputError: a column, a text or a label is missing, there are fewer than two classes, too
            few texts of a class, or a class occurs in the test only.
    """
    train = read_labelled(
        options.train,
        options.label_column,
        options.reading(),
        format=options.format,
        split=options.split,
    )
    _check_classes(train)
    if options.test is None:
        train, test, origin = _split(train, options)
    else:
        test = read_labelled(
            options.test,
            options.label_column,
            options.reading(),
            format=options.format,
            split=options.test_split,
        )
        origin = f"{len(train.texts):,} texts of {train.name}, tested on {len(test.texts):,} of "
        origin += test.name
    classes = _sorted_labels(train.labels)
    unknown = sorted(set(test.labels) - set(classes))
    if unknown:
        raise InputError(
            f"{test.name} has labels that no training text has: {_listed(unknown)}. Those of "
            f"{train.name} are {_listed(classes)}."
        )
    number = {label: each for each, label in enumerate(classes)}
    known = set(train.texts)
    repeated = sum(text in known for text in test.texts)
    if repeated:
        logger.warning(
            "%s of the %s test texts are training texts, too: the figures are too high for new "
            "texts.",
            f"{repeated:,}",
            f"{len(test.texts):,}",
        )
    return Task(
        classes=classes,
        train=train.texts,
        train_classes=np.array([number[label] for label in train.labels], np.int64),
        test=test.texts,
        test_classes=np.array([number[label] for label in test.labels], np.int64),
        origin=origin,
        repeated=repeated,
    )


def _check_classes(data: LabelledTexts) -> None:
    counts = Counter(data.labels)
    if len(counts) < 2:
        raise InputError(
            f"All {len(data.labels):,} labels of {data.name} are {next(iter(counts))!r}: there is "
            "nothing to tell apart. A probe needs at least two classes."
        )
    rare = [f"{label!r} ({count})" for label, count in counts.items() if count < MIN_ROWS]
    if rare:
        shown = ", ".join(rare[:_SHOWN]) + (" ..." if len(rare) > _SHOWN else "")
        raise InputError(
            f"{len(rare):,} of the {len(counts):,} labels of {data.name} have fewer than "
            f"{MIN_ROWS} texts to train on: {shown}. Leave them out, merge them, or collect more."
        )


def _split(data: LabelledTexts, options: ProbeOptions) -> tuple[LabelledTexts, LabelledTexts, str]:
    """Split off the texts to test on; the same ones for every seed."""
    try:
        rows = train_test_split(
            np.arange(len(data.texts)),
            test_size=options.test_size,
            stratify=data.labels,
            random_state=options.seed,
        )
    except ValueError as error:  # fewer texts than classes on one side
        raise InputError(
            f"test_size {options.test_size} of the {len(data.texts):,} texts of {data.name} leaves "
            f"too few for its {len(set(data.labels)):,} labels on one side."
        ) from error
    train, test = (
        replace(
            data,
            texts=[data.texts[row] for row in sorted(part)],
            labels=[data.labels[row] for row in sorted(part)],
        )
        for part in rows
    )
    _check_classes(train)
    origin = (
        f"{len(train.texts):,} texts of {data.name}, tested on {len(test.texts):,} others of it: "
        f"{options.test_size:.0%}, stratified, seed {options.seed}"
    )
    return train, test, origin


def _sorted_labels(labels: list[str]) -> list[str]:
    found = set(labels)
    if all(label.isascii() and label.removeprefix("-").isdigit() for label in found):
        return sorted(found, key=lambda label: (int(label), label))
    return sorted(found)


def _listed(labels: list[str]) -> str:
    shown = ", ".join(map(repr, labels[:_SHOWN]))
    return f"{shown} and {len(labels) - _SHOWN:,} more" if len(labels) > _SHOWN else shown
