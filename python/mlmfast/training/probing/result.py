"""The result of `probe`: scores and differences, as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlmfast.training.evaluation.metrics import finite
from mlmfast.training.probing.scores import Difference, Score

_SHOWN_CLASSES = 6


@dataclass(frozen=True)
class ProbeResult:
    """How well models tell the classes of labelled texts apart.

    Attributes:
        rows: a score for each model and method, in the order of the models.
        differences: each later model against the first, with each method.
        majority_class: the commonest label of the training texts.
        majority_accuracy: the accuracy of always answering it.
        majority_f1: the macro-F1 of always answering it.
        class_shares: label -> its share of the test texts, the largest first.
        models: name in the table -> the model, as given.
        origin: where the texts come from.
        train_texts: number of training texts, of which each seed fits 80 %.
        test_texts: number of test texts.
        repeated: number of test texts that are also training texts.
        seeds: number of seeds, counted from `seed`.
        seed: the first seed.
        settings: how features were computed and models fine-tuned.
        output: the folder with the figures and the report; None if none was written.
        folders: name in the table -> the folder of the fine-tuned model.
    """

    rows: list[Score]
    differences: list[Difference]
    majority_class: str
    majority_accuracy: float
    majority_f1: float
    class_shares: dict[str, float]
    models: dict[str, str]
    origin: str
    train_texts: int
    test_texts: int
    repeated: int
    seeds: int
    seed: int
    settings: dict[str, Any]
    output: Path | None = None
    folders: dict[str, Path] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON; a number that is not finite becomes None."""
        fields = asdict(self)
        for written, each in zip(fields["differences"], self.differences, strict=True):
            written["better"] = each.better
        fields["output"] = None if self.output is None else str(self.output)
        fields["folders"] = {name: str(path) for name, path in self.folders.items()}
        return finite(fields)

    def __str__(self) -> str:
        labels = ["majority class", *(f"{row.method}, {row.model}" for row in self.rows)]
        width = max(map(len, labels))
        lines = [f"{'':{width}}  {'accuracy':>14}  {'macro-F1':>14}"]
        figures = [(percent(self.majority_accuracy), percent(self.majority_f1))]
        figures += [
            (
                percent(row.accuracy, row.accuracy_error),
                percent(row.macro_f1, row.macro_f1_error),
            )
            for row in self.rows
        ]
        lines += [
            f"{label:{width}}  {accuracy:>14}  {f1:>14}"
            for label, (accuracy, f1) in zip(labels, figures, strict=True)
        ]
        lines += map(describe_difference, self.differences)
        shares = list(self.class_shares.items())
        shown = ", ".join(f"{name} {share:.1%}" for name, share in shares[:_SHOWN_CLASSES])
        more = f" and {len(shares) - _SHOWN_CLASSES} more" * (len(shares) > _SHOWN_CLASSES)
        lines.append(f"({self.origin}; {seeds_in_words(self.seeds)}; classes: {shown}{more})")
        lines += [f"{name}: {path}" for name, path in self.folders.items()]
        if self.output is not None:
            lines.append(f"report: {self.output}")
        return "\n".join(lines)


def percent(value: float, error: float | None = None) -> str:
    """Write a share with its standard error, such as `71.2 ± 0.4 %`."""
    middle = "" if error is None else f" \u00b1 {100 * error:.1f}"
    return f"{100 * value:.1f}{middle} %"


def seeds_in_words(seeds: int) -> str:
    """Say what the standard errors are over."""
    return "one seed" if seeds == 1 else f"\u00b1: standard errors over {seeds} seeds"


def describe_difference(each: Difference) -> str:
    """Write a difference as one sentence, in points (hundredths of the accuracy)."""
    error = "" if each.seed_error is None else f" \u00b1 {100 * each.seed_error:.1f}"
    verdict = "no significant difference" if each.better is None else f"{each.better} is better"
    return (
        f"{each.method}, {each.model} - {each.against}: {100 * each.accuracy:+.1f}{error} points "
        f"of accuracy, {each.confidence:.0%} interval {100 * each.low:+.1f} to "
        f"{100 * each.high:+.1f}, sign test p = {each.p_value:.2g} "
        f"({each.wins:,} texts to {each.losses:,}): {verdict}"
    )
