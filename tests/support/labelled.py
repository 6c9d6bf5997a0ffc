"""Labelled texts in the words of the tiny models, whose class a few words decide."""

from __future__ import annotations

import csv
import random
from pathlib import Path

OWN_WORDS = {
    "city": ("paris", "berlin", "capital", "city"),
    "country": ("france", "germany", "rain", "far"),
    "star": ("galaxy", "milky", "solar", "spiral"),
}
FILLERS = ("the", "is", "a", "in", "that", "and", "it", "our")


def labelled_texts(count: int, seed: int = 0, *, noise: float = 0.0) -> list[dict[str, str]]:
    """Rows with `text` and `label`; a share `noise` of them has the label of another class."""
    chance = random.Random(seed)
    labels = list(OWN_WORDS)
    rows = []
    for each in range(count):
        label = labels[each % len(labels)]
        words = chance.choices(FILLERS, k=chance.randint(1, 6))
        words += chance.choices(OWN_WORDS[label], k=chance.randint(2, 3))
        chance.shuffle(words)
        given = chance.choice([one for one in labels if one != label])
        rows.append({"text": " ".join(words), "label": given if chance.random() < noise else label})
    return rows


def write_labels(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
