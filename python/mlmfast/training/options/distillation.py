"""Distillation: the options of `train` about a teacher, its student and the loss.

The defaults of temperature and weights are those with which DistilBERT was published (Sanh et al.
2019; `--alpha_ce 5.0 --alpha_mlm 2.0 --alpha_cos 1.0` in its training script, temperature 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from mlmfast.errors import InputError
from mlmfast.options import check_options, option

_MOST = 1e6
_TOP_K = 64
# What a resume does not compare here: `shape` has the student, and folders may be moved.
_NOT_RECORDED = ("student", "student_layers", "teacher_answers")


@dataclass(frozen=True)
class DistillationWeights:
    """The loss of a distillation: a weighted sum of means over the masked tokens.

    Attributes:
        temperature: divides the logits of both models before they are compared.
        distillation: weight of the Kullback-Leibler divergence from the teacher, times the square
            of the temperature.
        mlm: weight of the cross-entropy with the labels.
        hidden: weight of 1 - cosine of the last hidden states.
    """

    temperature: float = 2.0
    distillation: float = 5.0
    mlm: float = 2.0
    hidden: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature <= _MOST:
            raise InputError(
                f"distillation_temperature is {self.temperature:g}; expected a number above 0, "
                "such as 2."
            )
        weights = (self.distillation, self.mlm, self.hidden)
        if not all(0 <= weight <= _MOST for weight in weights) or not any(weights):
            raise InputError(
                f"distillation_weight, mlm_weight and hidden_weight are {self.distillation:g}, "
                f"{self.mlm:g} and {self.hidden:g}; expected numbers from 0, of which one is above."
            )

    @property
    def use_teacher(self) -> bool:
        """Whether the loss depends on the teacher's answers."""
        return bool(self.distillation or self.hidden)

    def __str__(self) -> str:
        parts = [
            (self.distillation, f"KL from the teacher at temperature {self.temperature:g}"),
            (self.mlm, "cross-entropy with the labels"),
            (self.hidden, "(1 - cosine of the last hidden states)"),
        ]
        return " + ".join(f"{weight:g} x {name}" for weight, name in parts if weight)


@dataclass(frozen=True)
class DistillationOptions:
    """The options of `train` about a distillation; None for `teacher` means none."""

    teacher: str | Path | None = option(  # noqa: RUF009 - it is a field
        "Masked language model to distill: folder or Hub name.", metavar="MODEL"
    )
    student_layers: str | Sequence[int] | None = option(
        "Layers of the teacher that the student starts from, counted from 0, such as 0,2,4.",
        metavar="N,N,...",
    )
    student: str | Path | None = option(  # noqa: RUF009
        "Shape of the student: a configuration or checkpoint; it starts from those weights of the "
        "teacher that fit.",
        metavar="CONFIG",
    )
    distillation_temperature: float = option(
        "Divides the logits of teacher and student before they are compared.", 2.0
    )
    distillation_weight: float = option(
        "Weight of the divergence from the teacher at masked tokens.", 5.0
    )
    mlm_weight: float = option("Weight of the loss with the labels, beside a teacher.", 2.0)
    hidden_weight: float = option(
        "Weight of 1 - cosine between the last hidden states of teacher and student.", 1.0
    )
    teacher_answers: str | Path | None = option(  # noqa: RUF009
        "Read the teacher's answers to the masked tokens from this folder; what is missing there "
        "is computed first, for whole epochs. Trainings with the same teacher, blocks, masks and "
        "seed share it.",
        metavar="FOLDER",
    )
    teacher_top_k: int = option(
        "How many of the largest logits of a token --teacher-answers holds.", _TOP_K, minimum=1
    )

    @classmethod
    def taken_from(cls, options: dict[str, Any]) -> Self:
        """Remove the options about a distillation from those of `train`.

        Raises:
            InputError: one is out of range, or contradicts another.
        """
        return cls(**{each.name: options.pop(each.name) for each in fields(cls)})

    def __post_init__(self) -> None:
        check_options(self)
        if self.teacher is None:
            defaults = {each.name: each.default for each in fields(self)}
            for name, default in defaults.items():
                if getattr(self, name) != default:
                    flag = f"--{name.replace('_', '-')}"
                    raise InputError(
                        f"{name} ({getattr(self, name)}) goes with a teacher: give --teacher "
                        f"MODEL, or leave out {flag}."
                    )
            return
        if self.student is not None and self.student_layers is not None:
            raise InputError(
                f"student ({self.student}) and student_layers ({self.student_layers}) both say "
                "what the student is: give one of them."
            )
        if self.teacher_answers is None and self.teacher_top_k != _TOP_K:
            raise InputError(
                f"teacher_top_k ({self.teacher_top_k}) says what is stored of the teacher's "
                "answers: give --teacher-answers FOLDER, or leave out --teacher-top-k."
            )
        if self.teacher_answers is not None and not self.weights.use_teacher:
            raise InputError(
                "teacher_answers stores what a loss with distillation_weight 0 and hidden_weight "
                "0 does not use: leave out --teacher-answers."
            )
        _ = self.weights, self.layers  # raise InputError for values that are out of range

    @property
    def weights(self) -> DistillationWeights:
        """The weights of the loss.

        Raises:
            InputError: one is out of range.
        """
        return DistillationWeights(
            self.distillation_temperature,
            self.distillation_weight,
            self.mlm_weight,
            self.hidden_weight,
        )

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of `student_layers`, ascending; empty if it is not given.

        Raises:
            InputError: it is not a list of ascending numbers.
        """
        given = self.student_layers
        if given is None:
            return ()
        parts: Any = given.split(",") if isinstance(given, str) else given
        try:
            layers = tuple(map(int, [parts] if isinstance(parts, int) else parts))
        except (TypeError, ValueError):
            layers = ()
        ascends = all(one < other for one, other in pairwise(layers))
        if not layers or layers[0] < 0 or not ascends:
            raise InputError(
                f"student_layers is {given!r}; expected layers of the teacher in ascending order, "
                "counted from 0, such as 0,2,4."
            )
        return layers

    @property
    def makes_student(self) -> bool:
        """Whether the student is new: made from the teacher's layers, or of another shape."""
        return self.student is not None or self.student_layers is not None

    @property
    def recorded(self) -> dict[str, Any]:
        """What a resume compares and can change, as values of JSON."""
        if self.teacher is None:
            return {"teacher": None}
        names = [each.name for each in fields(self) if each.name not in _NOT_RECORDED]
        recorded = {name: getattr(self, name) for name in names} | {"teacher": str(self.teacher)}
        if self.teacher_answers is None:
            recorded["teacher_top_k"] = None  # the teacher itself: all logits
        return recorded

    @property
    def shape(self) -> dict[str, Any]:
        """What a resume cannot change: how the student was made, as values of JSON."""
        layers = {"student_layers": list(self.layers)} if self.layers else {}
        return layers | ({} if self.student is None else {"student": str(self.student)})

    def describe(self) -> dict[str, Any]:
        """Return what model card, report and summary tell; empty without a teacher."""
        if self.teacher is None:
            return {}
        known = self.recorded | self.shape
        return {name: value for name, value in known.items() if value is not None}
