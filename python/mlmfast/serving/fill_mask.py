"""Fill the masks of texts with an ONNX folder, answering as `pipeline("fill-mask")` does."""

from __future__ import annotations

import itertools
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypedDict

from mlmfast.errors import InputError
from mlmfast.serving.batching import batches, token_budget
from mlmfast.serving.folder import OnnxFolder
from mlmfast.serving.options import EncodeOptions, rows_wanted
from mlmfast.serving.scores import best_tokens, probabilities
from mlmfast.serving.session import LogitsSession
from mlmfast.serving.texts import Limits, MaskedText, read_texts
from mlmfast.serving.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np


class Row(TypedDict):
    """One candidate for a mask: its probability, id, text, and the text filled with it."""

    score: float
    token: int
    token_str: str
    sequence: str


# One mask: its rows. Several masks: a list of rows for each.
Answer = list[Row] | list[list[Row]]


class FillMask:
    """A masked language model, open for questions. Threads may share one.

    Args:
        folder: an ONNX folder, as `mlmfast export` or Optimum writes it: model.onnx, config.json,
            tokenizer.json, tokenizer_config.json.
        device: "cpu"; "cuda", which refuses to run on anything else; "auto": CUDA where the
            installed onnxruntime can use it, else the CPU.
        threads: threads inside one operator on the CPU; None: the cores this process may use.

    Attributes:
        device: "cpu" or "cuda", where the model really runs.
        mask_token: what to write in a text where a word shall be filled in.
        max_length: tokens a text may have, special tokens included; None: the model sets no limit.

    Raises:
        NotFoundError: the folder or a file of it is not there.
        InputError: a PyTorch checkpoint instead of an ONNX folder, a damaged file, a graph of
            another task, a tokenizer without mask token.
        MissingDependencyError: onnxruntime is not installed.
        MlmfastError: `device="cuda"` and CUDA cannot be used.
    """

    def __init__(self, folder: str | Path, *, device: str = "auto", threads: int | None = None):
        opened = OnnxFolder.open(folder)
        self._folder = opened.path
        self._vocabulary = Vocabulary(opened)
        self._session = LogitsSession(opened.graph, device=device, threads=threads)
        vocab_size = (
            self._session.vocab_size or opened.config.get("vocab_size") or len(self._vocabulary)
        )
        self._may_pad = self._session.masks_padding and not opened.padding_shows
        self._limits = Limits(opened.max_length, vocab_size)
        self.device: str = self._session.device
        self.mask_token: str = self._vocabulary.mask_token
        self.max_length: int | None = opened.max_length

    def __repr__(self) -> str:
        return f"FillMask({str(self._folder)!r}, device={self.device!r})"

    def __call__(
        self,
        texts: str | Sequence[str] | Iterator[str],
        *,
        top_k: int | None = 5,
        targets: str | Iterable[str] | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Fill the masks of one text or of several.

        Args:
            texts: one string, or a list of strings; a generator is answered as by `stream`.
            top_k: rows a mask gets; None means 5.
            targets: words to choose from, instead of the whole vocabulary. Scores stay shares of
                the whole vocabulary. A word that is no single token stands for its first piece,
                with a warning.
            tokenizer_kwargs: `add_special_tokens`, `truncation`, `max_length`, as in transformers.

        Returns:
            For a text with one mask a list of rows `{"score", "token", "token_str", "sequence"}`,
            best first; with several masks a list of such lists, one a mask. For a list of texts a
            list of these answers, except that a list of exactly one text is answered as the text
            itself would be.

        Raises:
            NoMaskError: a text has no mask token.
            InputError: a text is no string or too long, no target has a token, or `top_k` is out of
                range.
            TypeError: a keyword that is not known, or a `top_k` that is no integer.
        """
        asked = self._asked(top_k, targets, tokenizer_kwargs)
        if isinstance(texts, GeneratorType):
            return self._stream(texts, *asked, read_ahead=1024)
        if isinstance(texts, str) or not isinstance(texts, (list, tuple)):
            return self._answer([texts], *asked, first=None)[0]
        answers = self._answer(texts, *asked, first=1 if len(texts) > 1 else None)
        return answers[0] if len(answers) == 1 else answers

    def stream(
        self,
        texts: Iterable[str],
        *,
        top_k: int | None = 5,
        targets: str | Iterable[str] | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        read_ahead: int = 1024,
    ) -> Iterator[Answer]:
        """Answer texts one after the other, whatever their number, in bounded memory.

        Args:
            texts: any iterable of strings.
            top_k: as in a call.
            targets: as in a call.
            tokenizer_kwargs: as in a call.
            read_ahead: texts that are read before the first of them is answered. More of them
                makes better batches; 1 answers each text as soon as it is there.

        Yields:
            The answer of each text, in their order.

        Raises:
            InputError: as in a call. A text is looked at when its turn comes: the answers of the
                texts read before it have been given by then.
        """
        if read_ahead < 1:
            raise InputError(f"read_ahead must be at least 1, and is {read_ahead}.")
        asked = self._asked(top_k, targets, tokenizer_kwargs)
        return self._stream(texts, *asked, read_ahead=read_ahead)

    def _asked(
        self,
        top_k: int | None,
        targets: str | Iterable[str] | None,
        tokenizer_kwargs: Mapping[str, Any] | None,
    ) -> tuple[int, list[int] | None, EncodeOptions]:
        """Check the options of a call: rows a mask, ids to choose from, how to encode."""
        options = EncodeOptions.from_keywords(tokenizer_kwargs)
        vocab_size = self._limits.vocab_size
        ids = None if targets is None else self._vocabulary.target_ids(targets)
        if ids and ids[-1] >= vocab_size:
            raise InputError(
                f"A target has the token {ids[-1]}, and this model knows {vocab_size}: the "
                "tokenizer beside model.onnx belongs to another model."
            )
        rows = rows_wanted(top_k, vocab_size, None if ids is None else len(ids))
        return rows, ids, options

    def _stream(
        self,
        texts: Iterable[str],
        rows: int,
        targets: list[int] | None,
        options: EncodeOptions,
        *,
        read_ahead: int,
    ) -> Iterator[Answer]:
        remaining = iter(texts)
        first = 1
        while window := list(itertools.islice(remaining, read_ahead)):
            yield from self._answer(window, rows, targets, options, first=first)
            first += len(window)

    def _answer(
        self,
        texts: Sequence[Any],
        rows: int,
        targets: list[int] | None,
        options: EncodeOptions,
        *,
        first: int | None,
    ) -> list[Answer]:
        read = read_texts(texts, self._vocabulary, self._limits, options, first=first)
        answers: list[Answer] = [[] for _ in read]
        budget = token_budget(self.device, self._limits.vocab_size)
        lengths = [len(text.ids) for text in read]
        for batch in batches(lengths, budget, padding=self._may_pad):
            logits = self._session.logits(
                [read[index].ids for index in batch],
                [read[index].type_ids for index in batch],
                self._vocabulary.pad_id or 0,
            )
            for place, index in enumerate(batch):
                scores = probabilities(logits[place, read[index].masks])
                best = [best_tokens(score, rows, targets) for score in scores]
                answers[index] = self._rows(read[index], best)
        return answers

    def _rows(self, text: MaskedText, best: list[list[tuple[int, float]]]) -> Answer:
        # With several masks the open ones stay visible, and with them all special tokens.
        one_mask = len(text.masks) == 1
        answer: list[list[Row]] = []
        for mask, candidates in zip(text.masks, best, strict=True):
            filled = text.ids.copy()
            rows: list[Row] = []
            for token, score in candidates:
                filled[mask] = token
                rows.append(
                    {
                        "score": score,
                        "token": token,
                        "token_str": self._vocabulary.decode([token]),
                        "sequence": self._vocabulary.decode(
                            self._without_padding(filled), skip_special_tokens=one_mask
                        ),
                    }
                )
            answer.append(rows)
        return answer[0] if one_mask else answer

    def _without_padding(self, ids: np.ndarray) -> list[int]:
        kept: list[int] = ids[ids != self._vocabulary.pad_id].tolist()
        return kept
