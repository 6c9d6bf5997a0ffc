"""Leaving out documents, and lines of them, by the rules of published corpora."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlmfast._core import TextFilters

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT = 255


@dataclass(frozen=True)
class Filtered:
    """What the filters say about the documents of a piece."""

    rules: np.ndarray
    """The number of the rule that leaves a document out, uint8 [count]; 255 for none."""
    lines: np.ndarray
    """Lines that were left out of the documents that are kept, by rule, [count, rules]."""

    def kept(self, count: int) -> np.ndarray:
        """Return for each of the first `count` documents whether it is kept."""
        return self.rules[:count] == _KEPT

    def count_documents(self, chosen: np.ndarray, counts: dict[str, int]) -> None:
        """Add to `counts` how many of the chosen documents each rule leaves out."""
        rules = self.rules[: len(chosen)][chosen]
        found = np.bincount(rules[rules != _KEPT])
        for rule in np.flatnonzero(found).tolist():
            name = TextFilters.rules()[rule]
            counts[name] = counts.get(name, 0) + int(found[rule])

    def count_lines(self, chosen: np.ndarray, counts: dict[str, int]) -> None:
        """Add to `counts` how many lines of the chosen documents each rule left out."""
        found = self.lines[: len(chosen)][chosen].sum(axis=0)
        for name, number in zip(TextFilters.line_rules(), found.tolist(), strict=True):
            if number:
                counts[name] = counts.get(name, 0) + number


class DocumentFilters:
    """Applies filters; may be called in several threads."""

    def __init__(self, names: Sequence[str]) -> None:
        """Apply the filters of these names, some of `FILTERS` of the options."""
        self._filters = TextFilters(list(names))

    def __call__(self, texts: pa.LargeStringArray) -> tuple[pa.LargeStringArray, Filtered]:
        """Return the texts, without the lines that are left out, and what is left out."""
        changed, rules, lines = self._filters.apply(texts)
        if changed is not None:
            buffers = [None, *map(pa.py_buffer, changed)]
            new = pa.Array.from_buffers(pa.large_string(), len(texts), buffers)
            nulls = texts.null_count > 0
            texts = pc.if_else(texts.is_valid(), new, pa.scalar(None, new.type)) if nulls else new
        return texts, Filtered(rules, lines)


def by_rule(counts: dict[str, int], filters: Sequence[str]) -> dict[str, int]:
    """Return the count of each rule of the filters that leaves out documents, 0 included."""
    return _named(TextFilters.rules(), counts, filters)


def lines_by_rule(counts: dict[str, int], filters: Sequence[str]) -> dict[str, int]:
    """Return the count of each rule of the filters that leaves out lines, 0 included."""
    return _named(TextFilters.line_rules(), counts, filters)


def _named(rules: list[str], counts: dict[str, int], filters: Sequence[str]) -> dict[str, int]:
    return {rule: counts.get(rule, 0) for rule in rules if rule.partition(".")[0] in filters}
