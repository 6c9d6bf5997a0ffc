"""What each answer of a teacher holds, and into how many files the answers of an epoch are cut."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.training.options.distillation import DistillationWeights

# The temperatures at which the rest of the probabilities is stored, beside the training's own.
_TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
_PART_BYTES = 32 << 20
_LARGEST_UINT16 = 1 << 16


@dataclass(frozen=True)
class AnswerForm:
    """What is stored of the teacher at a masked token.

    Attributes:
        top_k: how many of the largest logits.
        vocabulary: how many logits there are.
        temperatures: those at which the log-sum-exp of the other logits is stored; empty if there
            are no others.
        hidden_size: the width of the teacher's hidden states.
        hidden: whether the last hidden states are stored.
        precision: `fp32`, `bf16` or `fp16`, in which the teacher computed.
        items_per_part: blocks (or packed rows) in a file.
    """

    top_k: int
    vocabulary: int
    temperatures: tuple[float, ...]
    hidden_size: int | None
    hidden: bool
    precision: str
    items_per_part: int

    @classmethod
    def choose(
        cls,
        *,
        top_k: int,
        vocabulary: int,
        temperature: float,
        hidden_size: int | None,
        hidden: bool,
        precision: str,
        masked_per_item: float,
    ) -> Self:
        """Choose temperatures and the size of a file.

        Args:
            top_k: as the attribute; so are `vocabulary` to `precision`.
            temperature: that of the training.
            masked_per_item: masked tokens of a block, about.

        Raises:
            InputError: the vocabulary has fewer tokens than `top_k`.
        """
        if top_k > vocabulary:
            raise InputError(
                f"teacher_top_k is {top_k:,}, but the teacher has {vocabulary:,} tokens: give at "
                "most that many (--teacher-top-k)."
            )
        every = () if top_k == vocabulary else tuple(sorted({*_TEMPERATURES, temperature}))
        form = cls(top_k, vocabulary, every, hidden_size, hidden, precision, 1)
        items = _PART_BYTES / (form.bytes_per_token * max(masked_per_item, 1.0))
        return cls(top_k, vocabulary, every, hidden_size, hidden, precision, max(1, int(items)))

    @property
    def bytes_per_token(self) -> int:
        """Bytes that a masked token takes on the disk, without the file's header."""
        number = 4 if self.precision == "fp32" else 2
        index = 2 if self.is_small else 4
        hidden = 2 * (self.hidden_size or 0) if self.hidden else 0
        return self.top_k * (number + index) + 4 * len(self.temperatures) + hidden

    @property
    def is_small(self) -> bool:
        """Whether ids fit into 16 bits."""
        return self.vocabulary <= _LARGEST_UINT16

    def check(self, weights: DistillationWeights, *, where: object) -> None:
        """Raise InputError if a loss needs what is not stored.

        Args:
            weights: the loss, with the weights of what can be compared.
            where: the folder, for the message.
        """
        temperature = weights.temperature
        if weights.distillation and self.temperatures and temperature not in self.temperatures:
            known = ", ".join(f"{each:g}" for each in self.temperatures)
            raise InputError(
                f"The teacher's answers in {where} do not have the rest of its probabilities at "
                f"temperature {temperature:g}: give one of {known} "
                "(--distillation-temperature), or another folder (--teacher-answers)."
            )
        if weights.hidden and not self.hidden:
            raise InputError(
                f"The teacher's answers in {where} have no hidden states: train with hidden_weight "
                "0 (--hidden-weight 0), or give another folder (--teacher-answers)."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        return asdict(self) | {"temperatures": list(self.temperatures)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return what `to_dict` was made of."""
        return cls(**content | {"temperatures": tuple(content["temperatures"])})
