"""Calls of a model, whatever their protocol, and limits on their options."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mlmfast.errors import InputError
from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.tasks.beam_search import BeamSearchTask
from mlmfast.serving.tasks.fill_mask import FillMaskTask, fill_mask_task
from mlmfast.serving.tasks.scoring import ScoringTask
from mlmfast.serving.tasks.sparse import QueryTableTask, SparseTask, sparse_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.tasks.base import Task
    from mlmfast.serving.tasks.one_pass import OnePassTask

# They are looked up on another thread, since each may have to be tokenized.
_MAX_TARGETS = 1000
_MAX_TARGET_CHARACTERS = 1000
# Each step chooses among beams x beams fillings, on a thread that could run a batch.
MAX_BEAMS = 100


class Call(Protocol):
    """A call of a model."""

    @property
    def model(self) -> str | None:
        """The model's name; None: the default."""

    @property
    def texts(self) -> Sequence[str]:
        """The texts."""

    async def task(self, model: Model) -> OnePassTask | Task:
        """Check the options, and return the task.

        Raises:
            HTTPError: there are too many targets.
            InputError: an option is out of range.
        """


@dataclass(frozen=True, slots=True)
class FillMaskCall:
    """Fill each mask of the texts by itself.

    Attributes:
        model: the model's name; None: the default.
        texts: the texts.
        top_k: rows of each mask; None: 5.
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
        """Check the options, and return the task."""
        if self.targets is None:
            return fill_mask_task(
                model,
                self.top_k,
                whole_targets=self.whole_targets,
                tokenizer_kwargs=self.tokenizer_kwargs,
            )
        if len(self.targets) > _MAX_TARGETS:
            raise HTTPError(
                422,
                "too_many_targets",
                f"The request has {len(self.targets):,} targets, and one may have at most "
                f"{_MAX_TARGETS:,}.",
            )
        if any(len(one) > _MAX_TARGET_CHARACTERS for one in self.targets if isinstance(one, str)):
            raise HTTPError(
                422,
                "too_long_target",
                f"A target may have at most {_MAX_TARGET_CHARACTERS:,} characters.",
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
class FillCall:
    """Fill all masks of each text together.

    Attributes:
        model: the model's name; None: the default.
        texts: the texts.
        top_k: fillings to return.
        beams: fillings to keep after each token; None: as many as `top_k`.
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
        """Check the options, and return the task."""
        task = BeamSearchTask.checked(self.top_k, self.beams, self.order, self.tokenizer_kwargs)
        if task.search.beams > MAX_BEAMS:
            default = "" if self.beams is not None else ", as many as top_k"
            raise InputError(
                f"beams must be at most {MAX_BEAMS}, and is {task.search.beams:,}{default}."
            )
        return task


@dataclass(frozen=True, slots=True)
class ScoreCall:
    """Score the texts.

    Attributes:
        model: the model's name; None: the default.
        texts: the texts.
        method: "original" or "word_l2r".
    """

    model: str | None
    texts: Sequence[str]
    method: str

    async def task(self, _model: Model) -> ScoringTask:
        """Check the options, and return the task."""
        return ScoringTask(self.method)


@dataclass(frozen=True, slots=True)
class SparseCall:
    """Encode the texts as sparse vectors.

    Attributes:
        model: the model's name; None: the default.
        texts: the texts.
        kind: "document" or "query".
        top_k: heaviest words of each text; None: all.
        threshold: what every weight exceeds.
        special_tokens: whether special tokens may have a weight.
        truncate: whether to cut texts that are too long.
    """

    model: str | None
    texts: Sequence[str]
    kind: str = "document"
    top_k: int | None = None
    threshold: float = 0.0
    special_tokens: bool = False
    truncate: bool = True

    async def task(self, model: Model) -> SparseTask | QueryTableTask:
        """Check the options, and return the task.

        Raises:
            HTTPError: the model has no sparse.onnx.
            InputError: an option is out of range.
        """
        if model.sparse is None:
            raise HTTPError(
                422,
                "no_sparse_encoder",
                "This model was exported for fill-mask alone: `mlmfast export --task sparse` adds "
                "its sparse encoder.",
            )
        return sparse_task(
            model,
            self.kind,
            top_k=self.top_k,
            threshold=self.threshold,
            special_tokens=self.special_tokens,
            truncate=self.truncate,
        )
