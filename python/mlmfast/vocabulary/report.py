"""What became of a model whose vocabulary was changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.training.evaluation.metrics import finite

if TYPE_CHECKING:
    import torch

    from mlmfast.training.evaluation.metrics import Evaluation
    from mlmfast.vocabulary.speed import Speed
    from mlmfast.vocabulary.usage import Kept


@dataclass(frozen=True)
class Size:
    """The size of a model.

    Attributes:
        tokens: rows of its embeddings.
        parameters: its weights, tied ones once.
        megabytes: what they take.
    """

    tokens: int
    parameters: int
    megabytes: float

    @classmethod
    def of(cls, model: torch.nn.Module, tokens: int) -> Size:
        """Measure a model."""
        weights = list(model.parameters())
        size = sum(weight.numel() * weight.element_size() for weight in weights)
        return cls(tokens, sum(weight.numel() for weight in weights), size / 1e6)


@dataclass(frozen=True, kw_only=True)
class VocabularyReport:
    """What `trim_vocabulary` or `replace_vocabulary` wrote.

    Attributes:
        output: the folder of the model.
        before: the size of the model before.
        after: its size.
        speed: the times of a forward pass before and after; None if they were not measured.
        left_out: file of the tokenizer before -> why the new folder lacks it.
    """

    output: Path
    before: Size
    after: Size
    speed: Speed | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        return finite({**asdict(self), "output": str(self.output)})

    def table(self) -> list[str]:
        """Return lines that compare before and after."""
        rows = [
            ("tokens", self.before.tokens, self.after.tokens, "{:,}"),
            ("parameters", self.before.parameters, self.after.parameters, "{:,}"),
            ("MB of weights", self.before.megabytes, self.after.megabytes, "{:,.1f}"),
        ]
        if self.speed is not None:
            rows += [
                (f"ms, {name}", before, after, "{:,.1f}")
                for name, (before, after) in self.speed.times.items()
            ]
        lines = [f"{'':<26}{'before':>14}{'after':>14}{'share':>9}"]
        for name, before, after, form in rows:
            share = f"{after / before:.1%}" if before else ""
            lines.append(f"{name:<26}{form.format(before):>14}{form.format(after):>14}{share:>9}")
        return lines

    def _notes(self) -> list[str]:
        return [f"Left out   {name}: {reason}" for name, reason in self.left_out.items()]


@dataclass(frozen=True, kw_only=True)
class TrimReport(VocabularyReport):
    """What `trim_vocabulary` wrote.

    Attributes:
        required: tokens that stay whatever the texts are.
        used: different tokens that the texts use.
        sample: how many of the texts keep their tokens.
        test: how many of the other texts do; None if there are none.
    """

    required: int
    used: int
    sample: Kept
    test: Kept | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        shares = {"sample": self.sample.share, "test": self.test and self.test.share}
        return {**super().to_dict(), "shares": shares}

    def __str__(self) -> str:
        lines = self.table()
        lines.append(f"Tokens     {self.used:,} used by the texts, {self.required:,} required")
        for name, kept in (("Texts", self.sample), ("Test", self.test)):
            if kept is not None:
                lines.append(
                    f"{name:<11}{kept.share:.2%} of {kept.texts:,} texts have the same tokens"
                )
        return "\n".join([*lines, *self._notes()])


@dataclass(frozen=True, kw_only=True)
class ReplaceReport(VocabularyReport):
    """What `replace_vocabulary` wrote.

    Attributes:
        shared: new tokens whose rows are those of the same old tokens.
        roles: special tokens whose rows are those of the old tokens with their roles.
        means: new tokens whose rows are means of the old pieces of their text.
        similar: new tokens whose rows are weighted by similarity (`init="focus"`).
        unknown: new tokens whose text the old tokenizer does not know.
        evaluations: the evaluations before and after; None without texts.
    """

    shared: int
    roles: int
    means: int
    similar: int
    unknown: int
    evaluations: tuple[Evaluation, Evaluation] | None = None

    def __str__(self) -> str:
        parts = [f"{self.shared:,} copied", f"{self.roles:,} by their role"]
        parts += [f"{self.similar:,} by similarity"] * bool(self.similar)
        parts += [f"{self.means:,} means of old pieces", f"{self.unknown:,} unknown before"]
        lines = [*self.table(), f"Rows       {', '.join(parts)}"]
        if self.evaluations is not None:
            before, after = (one.bits_per_byte for one in self.evaluations)
            lines.append(f"Text       {before:.3f} bits per byte before, {after:.3f} after")
        return "\n".join([*lines, *self._notes()])
