"""Texts to batches to sessions: all cores for few batches, one core each for many."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.options import check_choice
from mlmfast.runtime.cpu import available_cores, may_spin
from mlmfast.serving.engine.agreement import require_agreement, require_captured_agreement
from mlmfast.serving.engine.batching import BatchRules, batches, token_budget
from mlmfast.serving.engine.captured import CapturedGraphs, open_captured
from mlmfast.serving.engine.graphs import FusedGraph, open_graph
from mlmfast.serving.engine.session import (
    DEVICES,
    PLUGIN_OF,
    SessionOptions,
    device_of,
    open_session,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from mlmfast.serving.folder import OnnxFolder
    from mlmfast.serving.types import OutputSpec, Result, Text

_BATCHING = ("shared", "independent")
# Threads that feed a device which brings its own. On a GPU the second one prepares the next batch
# while the first one waits for the device.
_WORKERS = {"cuda": 2, "openvino": 1, "tensorrt-rtx": 2}


class Engine:
    """A graph on a device, and the threads that feed it. It is safe to use from several threads.

    Inside one operator the cores wait for each other. So a single batch runs fastest in a session
    with all cores, and many batches in a single-threaded session that as many Python threads as
    there are cores use at once. Each session has its own packed copy of the weights, so sessions
    that are not used are not kept: the single-threaded one is opened when it is needed, and the
    first one, which describes the graph, is closed then if it has not run a batch.

    Attributes:
        device: "cpu", "cuda", "openvino" or "tensorrt-rtx".
        graph: the kind of graph, with its limits.
        vocab_size: distinct tokens of the model.
        rules: which texts may share a batch.
    """

    def __init__(
        self,
        folder: OnnxFolder,
        file: Path,
        *,
        device: str,
        threads: int | None,
        spinning: bool | None,
        batching: str,
        batch_tokens: int | None,
        pad_id: int,
        tokens: int,
        cuda_graphs: bool = False,
    ):
        check_choice("device", device, DEVICES)
        if threads is not None and threads < 1:
            raise InputError(f"threads must be at least 1, and is {threads}.")
        if batch_tokens is not None and batch_tokens < 1:
            raise InputError(f"batch_tokens must be at least 1, and is {batch_tokens}.")
        check_choice("batching", batching, _BATCHING)
        self._file = file
        self._threads = threads or available_cores()
        self._options = SessionOptions(
            device, self._threads, may_spin() if spinning is None else spinning
        )
        self._all_cores: Any = open_session(self._file, self._options)
        self._all_cores_used = False
        self._single_core: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self.device = device if device in PLUGIN_OF else device_of(self._all_cores)
        self.graph = open_graph(self._file, self._all_cores)
        self.vocab_size: int = self.graph.vocab_size or folder.config.get("vocab_size") or tokens
        self._pad_id = pad_id
        if self.device in PLUGIN_OF:
            require_agreement(
                self.graph, self._all_cores, self._reference(), **self._tokens_of_model()
            )
        budget = token_budget(
            self.device, self.vocab_size, outputs_logits=self.graph.outputs_logits
        )
        self.rules = BatchRules(
            budget=batch_tokens or budget,
            padding=self.graph.takes_attention_mask
            and not (self.graph.padding_sensitive or folder.padding_sensitive),
            independent=batching == "independent",
        )
        self._captured = self._open_captured(folder) if cuda_graphs else None

    def start(
        self,
        texts: Sequence[Text],
        output_spec: OutputSpec,
        *,
        batch_size: int | None = None,
    ) -> PendingBatches:
        """Start to run `texts` in the background.

        Args:
            texts: the texts.
            output_spec: what to predict.
            batch_size: rows of a batch at most; None: only the token budget bounds it.
        """
        lengths = [len(text.ids) for text in texts]
        workers = self._threads if self.device == "cpu" else 1
        rules = replace(self.rules, rows=batch_size)
        rows = list(batches(lengths, rules.shared_by(workers, sum(lengths))))
        if self.device == "cpu" and len(rows) < max(2, self._threads):
            session = self._single_batch_session(reopen=len(texts) == 1)
            if session is not None:
                rows = list(batches(lengths, rules))
                return PendingBatches(self, texts, output_spec, rows, session, None)
        pool, session = self._workers()
        return PendingBatches(self, texts, output_spec, rows, session, pool)

    @property
    def workers(self) -> int:
        """Threads that keep the device busy, each running a batch of its own."""
        return _WORKERS.get(self.device, self._threads)

    def sessions(self) -> tuple[Any, Any]:
        """Open the sessions for `run_batch`: one for a single batch, one for parallel batches.

        They are the same session on a GPU, with OpenVINO and with one thread.
        """
        with self._lock:
            if self._all_cores is None:
                self._all_cores = open_session(self._file, self._options)
            self._all_cores_used = True
            return self._all_cores, self._single_core_session()

    def predict(self, texts: Sequence[Text], output_spec: OutputSpec) -> list[Any]:
        """Run `texts`; return their results in their order."""
        return self.start(texts, output_spec).results()

    def run_batch(
        self, session: Any, texts: Sequence[Text], output_spec: OutputSpec
    ) -> list[Result]:
        """Run `texts` as one batch."""
        if self._captured is not None:
            masked: Any = texts  # only a fill-mask graph is captured
            found: Any = self._captured.run_texts(masked, output_spec)
            if found is not None:
                return list(found)
        run: Any = self.graph.run_texts  # each kind of graph takes its own kind of texts
        results: list[Result] = run(session, texts, output_spec, self._pad_id)
        return results

    def _open_captured(self, folder: OnnxFolder) -> CapturedGraphs:
        if (
            self.rules.independent
            or not self.rules.padding
            or not isinstance(self.graph, FusedGraph)
        ):
            raise InputError(
                f"cuda_graphs cannot be used with {self._file}: batches are filled up to a few "
                "shapes, which needs fill_mask.onnx, an attention mask, a model that padding does "
                "not change, and batching='shared'."
            )
        captured = open_captured(
            folder.path,
            self._options,
            device=self.device,
            max_length=self.graph.max_length,
            pad_id=self._pad_id,
        )
        require_captured_agreement(
            captured, self.graph, self._reference(), **self._tokens_of_model()
        )
        return captured

    def _reference(self) -> Any:
        """Open the graph on onnxruntime's CPU provider."""
        return open_session(self._file, replace(self._options, device="cpu"))

    def _tokens_of_model(self) -> dict[str, int]:
        return {"vocab_size": self.vocab_size, "pad_id": self._pad_id}

    def _single_batch_session(self, *, reopen: bool) -> Any:
        """Return the session with all cores; None if it was closed and reopening does not pay."""
        with self._lock:
            if self._all_cores is None and reopen:
                self._all_cores = open_session(self._file, self._options)
            self._all_cores_used = self._all_cores is not None
            return self._all_cores

    def _workers(self) -> tuple[ThreadPoolExecutor, Any]:
        with self._lock:
            session = self._single_core_session()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="mlmfast")
            return self._pool, session

    def _single_core_session(self) -> Any:
        """Return the session for parallel batches. The caller holds the lock."""
        if self._single_core is None:
            if self.device != "cpu" or self._threads == 1:
                self._single_core = self._all_cores
            else:
                if not self._all_cores_used:
                    self._all_cores = None
                self._single_core = open_session(self._file, replace(self._options, threads=1))
        return self._single_core


class PendingBatches:
    """Texts that are being run."""

    def __init__(
        self,
        engine: Engine,
        texts: Sequence[Text],
        output_spec: OutputSpec,
        batches: list[list[int]],
        session: Any,
        pool: ThreadPoolExecutor | None,
    ):
        self._count = len(texts)
        self._batches = batches
        self._futures: list[Future[list[Result]]] | None = None

        def run(rows: list[int]) -> list[Result]:
            return engine.run_batch(session, [texts[row] for row in rows], output_spec)

        self._run = run
        if pool is not None:
            self._futures = [pool.submit(run, rows) for rows in batches]

    def results(self) -> list[Any]:
        """Wait for the results; return them in the order of the texts."""
        in_order: list[Any] = [None] * self._count
        try:
            for number, rows in enumerate(self._batches):
                results = (
                    self._run(rows) if self._futures is None else self._futures[number].result()
                )
                for row, part in zip(rows, results, strict=True):
                    in_order[row] = part
        except BaseException:
            self.cancel()
            raise
        return in_order

    def cancel(self) -> None:
        """Drop the batches that have not started."""
        for future in self._futures or ():
            future.cancel()
