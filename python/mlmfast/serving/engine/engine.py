"""Questions to batches to sessions: one with all cores for few batches, one core each for many."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.runtime.cpu import available_cores, may_spin
from mlmfast.serving.engine.batching import BatchRules, batches, token_budget
from mlmfast.serving.engine.graphs import open_graph
from mlmfast.serving.engine.session import DEVICES, SessionOptions, device_of, open_session
from mlmfast.serving.types import MaskedText, OutputSpec, Predictions, make_batch, split_found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from mlmfast.serving.folder import OnnxFolder

_BATCHING = ("shared", "independent")
# On a GPU a second thread prepares the next batch while the first one waits for the device.
_GPU_WORKERS = 2


class Engine:
    """A graph on a device, and the threads that feed it. Threads may share one.

    Inside one operator the cores wait for each other, so that a lone batch is answered soonest by
    a session with all of them, and many batches by a session with one thread that as many Python
    threads use at once. Each session packs the weights for itself (once more the size of the
    model's matrices), so none is kept that is not used: the second is opened when it is needed, and
    the first, which tells what the graph is, is closed then if it never answered.

    Attributes:
        device: "cpu" or "cuda".
        graph: what kind of graph answers.
        vocab_size: distinct tokens the model knows.
        rules: which masked texts may share a batch.
    """

    def __init__(
        self,
        folder: OnnxFolder,
        *,
        device: str,
        threads: int | None,
        spinning: bool | None,
        batching: str,
        batch_tokens: int | None,
        pad_id: int,
        tokens: int,
    ):
        if device not in DEVICES:
            raise InputError(f"device must be one of {', '.join(DEVICES)}, and is {device!r}.")
        if threads is not None and threads < 1:
            raise InputError(f"threads must be at least 1, and is {threads}.")
        if batch_tokens is not None and batch_tokens < 1:
            raise InputError(f"batch_tokens must be at least 1, and is {batch_tokens}.")
        if batching not in _BATCHING:
            raise InputError(
                f"batching must be one of {', '.join(_BATCHING)}, and is {batching!r}."
            )
        self._file = folder.graph
        self._threads = threads or available_cores()
        self._options = SessionOptions(
            device, self._threads, may_spin() if spinning is None else spinning
        )
        self._all_cores: Any = open_session(self._file, self._options)
        self._answered_alone = False
        self._one_core: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self.device = device_of(self._all_cores)
        self.graph = open_graph(self._file, self._all_cores)
        self.vocab_size: int = self.graph.vocab_size or folder.config.get("vocab_size") or tokens
        self._pad_id = pad_id
        budget = token_budget(self.device, self.vocab_size, logits_leave=self.graph.logits_leave)
        self.rules = BatchRules(
            budget=batch_tokens or budget,
            padding=self.graph.masks_padding
            and not (self.graph.padding_shows or folder.padding_shows),
            alone=batching == "independent",
        )

    def start(
        self,
        masked_texts: Sequence[MaskedText],
        output_spec: OutputSpec,
        *,
        batch_size: int | None = None,
    ) -> PendingBatches:
        """Begin to answer `masked_texts`; the work goes on while the caller does something else.

        Args:
            masked texts: what to answer.
            wanted: what the graph is asked.
            batch_size: rows of a batch at most; None: the token budget alone bounds it.
        """
        lengths = [len(masked_text.ids) for masked_text in masked_texts]
        workers = 1 if self.device == "cuda" else self._threads
        rules = replace(self.rules, rows=batch_size)
        rows = list(batches(lengths, rules.shared_by(workers, sum(lengths))))
        if self.device == "cpu" and len(rows) < max(2, self._threads):
            session = self._lone(open_again=len(masked_texts) == 1)
            if session is not None:
                rows = list(batches(lengths, rules))
                return PendingBatches(self, masked_texts, output_spec, rows, session, None)
        pool, session = self._workers()
        return PendingBatches(self, masked_texts, output_spec, rows, session, pool)

    @property
    def workers(self) -> int:
        """Threads that keep the device busy, each with a batch of its own."""
        return _GPU_WORKERS if self.device == "cuda" else self._threads

    def sessions(self) -> tuple[Any, Any]:
        """Open what `ask` takes: a session for a lone batch and one for `workers` at once.

        They are one and the same on a GPU and with one thread.
        """
        with self._lock:
            if self._all_cores is None:
                self._all_cores = open_session(self._file, self._options)
            self._answered_alone = True
            return self._all_cores, self._open_one_core()

    def answer(
        self, masked_texts: Sequence[MaskedText], output_spec: OutputSpec
    ) -> list[Predictions]:
        """Answer `masked_texts`, in their order."""
        return self.start(masked_texts, output_spec).predictions()

    def ask(
        self, session: Any, masked_texts: Sequence[MaskedText], output_spec: OutputSpec
    ) -> list[Predictions]:
        """Answer one batch."""
        batch = make_batch(masked_texts, output_spec, self._pad_id)
        predictions = self.graph.ask(session, batch)
        return split_found(masked_texts, batch, output_spec, predictions)

    def _lone(self, *, open_again: bool) -> Any:
        """Return the session with all cores; None where it was closed and is not worth opening."""
        with self._lock:
            if self._all_cores is None and open_again:
                self._all_cores = open_session(self._file, self._options)
            self._answered_alone = self._all_cores is not None
            return self._all_cores

    def _workers(self) -> tuple[ThreadPoolExecutor, Any]:
        with self._lock:
            session = self._open_one_core()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="mlmfast")
            return self._pool, session

    def _open_one_core(self) -> Any:
        """Return the session that many threads use at once; the lock is the caller's."""
        if self._one_core is None:
            if self.device == "cuda" or self._threads == 1:
                self._one_core = self._all_cores
            else:
                if not self._answered_alone:
                    self._all_cores = None
                self._one_core = open_session(self._file, replace(self._options, threads=1))
        return self._one_core


class PendingBatches:
    """Questions on their way."""

    def __init__(
        self,
        engine: Engine,
        masked_texts: Sequence[MaskedText],
        output_spec: OutputSpec,
        batches: list[list[int]],
        session: Any,
        pool: ThreadPoolExecutor | None,
    ):
        self._count = len(masked_texts)
        self._batches = batches
        self._futures: list[Future[list[Predictions]]] | None = None

        def ask(rows: list[int]) -> list[Predictions]:
            return engine.ask(session, [masked_texts[row] for row in rows], output_spec)

        self._ask = ask
        if pool is not None:
            self._futures = [pool.submit(ask, rows) for rows in batches]

    def predictions(self) -> list[Predictions]:
        """Wait for the answers and return them in the order of the masked texts."""
        answers: list[Any] = [None] * self._count
        try:
            for number, rows in enumerate(self._batches):
                predictions = (
                    self._ask(rows) if self._futures is None else self._futures[number].result()
                )
                for row, part in zip(rows, predictions, strict=True):
                    answers[row] = part
        except BaseException:
            self.cancel()
            raise
        return answers

    def cancel(self) -> None:
        """Drop the batches that have not begun."""
        for future in self._futures or ():
            future.cancel()
