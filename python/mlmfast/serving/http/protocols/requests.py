"""Questions in no protocol's own form, and the limits that hold for them alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mlmfast.errors import InputError
from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.tasks.beam_search import BeamSearchTask
from mlmfast.serving.tasks.fill_mask import FillMaskTask, fill_mask_task
from mlmfast.serving.tasks.scoring import ScoringTask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.tasks.base import Task

# Looking these up is done on a thread: they may be many, and each may have to be tokenized.
_MOST_TARGETS = 1000
# Each step chooses among beams x beams fillings, on a thread that else runs batches.
MOST_BEAMS = 100


class Call(Protocol):
    """What is asked of a model."""

    @property
    def model(self) -> str | None:
        """A name; None: the default."""

    @property
    def texts(self) -> Sequence[str]:
        """What it is asked about."""

    async def task(self, model: Model) -> FillMaskTask | Task:
        """Check the options.

        Raises:
            Problem: there are too many targets.
            InputError: an option is out of range.
        """


@dataclass(frozen=True, slots=True)
class FillMaskCall:
    """What is missing at each mask.

    Attributes:
        model: a name; None: the default.
        texts: what to fill.
        top_k: rows a mask gets; None: 5.
        targets: words to choose from; None: all.
        tokenizer_kwargs: as for `FillMask`.
        whole_targets: as for `FillMask`.
    """

    model: str | None
    texts: Sequence[str]
    top_k: int | None = None
    targets: Sequence[str] | None = None
    tokenizer_kwargs: Mapping[str, Any] | None = None
    whole_targets: bool = False

    async def task(self, model: Model) -> FillMaskTask | Task:
        """Check the options."""
        if self.targets is None:
            return fill_mask_task(
                model,
                self.top_k,
                whole_targets=self.whole_targets,
                tokenizer_kwargs=self.tokenizer_kwargs,
            )
        if len(self.targets) > _MOST_TARGETS:
            raise HTTPError(
                422,
                "too_many_targets",
                f"The request has {len(self.targets):,} targets, and one may have at most "
                f"{_MOST_TARGETS:,}.",
            )
        return await asyncio.to_thread(
            fill_mask_task,
            model,
            self.top_k,
            self.targets,
            whole_targets=self.whole_targets,
            tokenizer_kwargs=self.tokenizer_kwargs,
        )


@dataclass(frozen=True, slots=True)
class FillingsQuestion:
    """What is missing at all masks of a text together.

    Attributes:
        model: a name; None: the default.
        texts: what to fill.
        top_k: fillings that are returned.
        beams: fillings that are kept after each word; None: as many as `top_k`.
        order: "certain" or "left_to_right".
        tokenizer_kwargs: as for `FillMask`.
    """

    model: str | None
    texts: Sequence[str]
    top_k: int
    beams: int | None
    order: str
    tokenizer_kwargs: Mapping[str, Any] | None = None

    async def task(self, _model: Model) -> BeamSearchTask:
        """Check the options."""
        task = BeamSearchTask.checked(self.top_k, self.beams, self.order, self.tokenizer_kwargs)
        if task.search.beams > MOST_BEAMS:
            told = "" if self.beams is not None else ", as many as top_k"
            raise InputError(
                f"beams must be at most {MOST_BEAMS}, and is {task.search.beams:,}{told}."
            )
        return task


@dataclass(frozen=True, slots=True)
class ScoresQuestion:
    """How probable a text is.

    Attributes:
        model: a name; None: the default.
        texts: what to score.
        method: "original" or "word_l2r".
    """

    model: str | None
    texts: Sequence[str]
    method: str

    async def task(self, _model: Model) -> ScoringTask:
        """Check the options."""
        return ScoringTask(self.method)
