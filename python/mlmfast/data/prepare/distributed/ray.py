"""Tasks on a Ray cluster, with results in order and errors of `mlmfast.errors`."""

from __future__ import annotations

import logging
import socket
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare.distributed.run import DistributedPass
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.pipeline import progress_bar
from mlmfast.data.prepare.report import counted
from mlmfast.data.prepare.split_writer import SplitWriter, split_writers
from mlmfast.errors import (
    InputError,
    MissingDependencyError,
    MlmfastError,
    NotFoundError,
    first_line,
)

if TYPE_CHECKING:
    from mlmfast.data.prepare.distributed.job import Job
    from mlmfast.data.prepare.reading.documents import Counts
    from mlmfast.data.sources.base import ReadOptions, Source
    from mlmfast.data.tokenization.load import LoadedTokenizer
    from mlmfast.fs.staging import StagingDir


# Tasks to submit before waiting for the first result.
_LEAST_AHEAD = 64
_AHEAD_PER_CPU = 4
# How often a task is retried when its worker or its node dies.
_RETRIES = 5
# How long to wait for running tasks whose results are no longer needed.
_PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class _Fault:
    """An error of a task as its result, so that Ray does not log it as a failure."""

    error: Exception


class RayCluster:
    """Runs functions of (job, ...) on the nodes of a cluster."""

    def __init__(self, ray: Any, job: Job) -> None:
        """Run tasks of one job on the cluster that `ray` is connected to."""
        self._ray = ray
        # In a list, so that each worker process fetches it once, not with every task.
        self._job = [ray.put(job)]
        self._folder = job.tokens
        self._task = ray.remote(num_cpus=job.threads, max_retries=_RETRIES)(_work)
        cpus = ray.cluster_resources().get("CPU", 0)
        self._ahead = max(_LEAST_AHEAD, int(_AHEAD_PER_CPU * cpus))

    def map(self, function: Callable[..., Any], calls: Iterable[tuple]) -> Generator[Any]:
        """Yield `function(job, *call)` for all calls, in their order.

        When the iterator is closed or raises, no further task starts, and the running ones are
        waited for.

        Raises:
            InputError: The error of a task, or a worker died repeatedly.
        """
        # Not `ray.cancel`: it ends this process if the task finishes at the same moment
        # (https://github.com/ray-project/ray/issues/54260).
        stop = self._folder / f"stop-{uuid.uuid4().hex}"
        remaining = iter(calls)
        submitted: deque[Any] = deque()
        try:
            while True:
                for call in islice(remaining, self._ahead - len(submitted)):
                    submitted.append(self._task.remote(self._job, stop, function, call))
                if not submitted:
                    return
                result = self._result(submitted[0])
                submitted.popleft()
                yield result
        finally:
            self._stop(list(submitted), stop)

    def _result(self, reference: Any) -> Any:
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if "No module named 'mlmfast" in str(error):
                raise InputError(
                    "A node of the Ray cluster has no mlmfast; install the same version on all."
                ) from error
            raise
        except self._ray.exceptions.RayError as error:
            raise InputError(
                f"Ray could not finish the work, though a task is tried {_RETRIES + 1} times when "
                f"its worker dies: {first_line(error)}"
            ) from error
        if isinstance(result, _Fault):
            raise result.error
        return result

    def _stop(self, references: list[Any], stop: Path) -> None:
        if not references:
            return
        with suppress(OSError):  # without the file, they all run to their end
            stop.touch()
        _, running = self._ray.wait(
            references, num_returns=len(references), timeout=_PATIENCE_SECONDS
        )
        if not running:
            with suppress(OSError):
                stop.unlink()


@contextmanager
def ray_cluster(threads: int) -> Iterator[Callable[[Job], RayCluster]]:
    """Connect to a Ray cluster; yield a function that makes a `RayCluster` for a job.

    A process that is already connected keeps its connection. Otherwise it connects to RAY_ADDRESS
    if that is set, else to a cluster on this machine; if there is none, it starts a local one and
    shuts it down at the end.

    Args:
        threads: CPUs of each task.

    Raises:
        MissingDependencyError: Ray is not installed.
        InputError: The cluster cannot be reached, or no node has enough CPUs.
    """
    ray = import_ray()
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(logging_level=logging.WARNING)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise InputError(f"The Ray cluster cannot be used: {error}") from error
    try:
        most = max(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
        if 0 < most < threads:  # without CPUs at all, nodes that join later may have enough
            raise InputError(
                f"--threads {threads} is more than the {most:g} CPUs of the Ray cluster's largest "
                "node, and a task runs on one node."
            )
        yield lambda job: RayCluster(ray, job)
    finally:
        if ours:
            ray.shutdown()


def import_ray() -> Any:
    """Return the module `ray`.

    Raises:
        MissingDependencyError: Ray is not installed.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingDependencyError(
            "--engine ray needs the package ray: pip install 'mlmfast[ray]', on every node."
        ) from error
    return ray


# The job of this worker process, by its reference.
_jobs: dict[str, Job] = {}


def _work(job: list[Any], stop: Path, function: Callable[..., Any], call: tuple) -> Any:
    """Run a task in a worker process; skip it if the file `stop` exists."""
    if stop.exists():
        return None
    key = job[0].hex()
    if key not in _jobs:
        fetched = import_ray().get(job[0])
        _jobs.clear()
        _jobs[key] = fetched
    try:
        return function(_jobs[key], *call)
    except NotFoundError as error:
        return _Fault(
            NotFoundError(
                f"{error} The node {socket.gethostname()} does not see it: with --engine ray, the "
                "inputs must lie on paths that all nodes share."
            )
        )
    except (MlmfastError, OSError) as error:
        return _Fault(error)


logger = logging.getLogger("mlmfast.prepare")


def run_on_ray(
    work: StagingDir,
    sources: list[Source],
    reading: ReadOptions,
    tokenizer: LoadedTokenizer,
    options: PrepareOptions,
    fingerprint: dict[str, Any] | None,
) -> tuple[str, Counts, dict[str, SplitWriter]]:
    """Write all text; return the engine that encoded it, the documents' counts and the writers.

    Raises:
        InputError: A text, a source or the cluster cannot be used.
    """
    distributed = DistributedPass(work, sources, reading, tokenizer, options)
    with ray_cluster(distributed.job.threads) as connect:
        finished = distributed.begin(fingerprint)
        if finished:
            logger.info("Resuming the earlier run with %s.", counted(finished, "finished part"))
        splits = split_writers(work.output, tokenizer, options)
        with progress_bar(distributed.size, shown=options.progress) as advance:
            counts, engine = distributed.run(connect(distributed.job), splits, advance)
    return engine, counts, splits
