"""Tasks on a Ray cluster: their results in order, their errors as ours."""

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
from mlmfast.data.prepare.options import PrepareOptions, counted
from mlmfast.data.prepare.pipeline import progress_bar
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
    from mlmfast.data.prepare.documents import Counts
    from mlmfast.data.sources.base import ReadOptions, Source
    from mlmfast.data.tokenization.load import LoadedTokenizer
    from mlmfast.fs.staging import StagingDir


# Tasks that are handed to Ray before the first of them is waited for.
_LEAST_AHEAD = 64
_AHEAD_PER_CPU = 4
# How often a task begins anew when its worker or its node dies.
_RETRIES = 5
# How long a task that runs already is waited for when its result is of no use any more.
_PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class _Fault:
    """An error in a task, as a result: Ray does not log it as one of its own."""

    error: Exception


class RayCluster:
    """Runs functions of (job, ...) on the nodes of a cluster."""

    def __init__(self, ray: Any, job: Job) -> None:
        """Work for one job, on the cluster that `ray` is connected with."""
        self._ray = ray
        # In a list, so that each worker process gets it once and not with every task.
        self._job = [ray.put(job)]
        self._folder = job.tokens
        self._task = ray.remote(num_cpus=job.threads, max_retries=_RETRIES)(_work)
        cpus = ray.cluster_resources().get("CPU", 0)
        self._ahead = max(_LEAST_AHEAD, int(_AHEAD_PER_CPU * cpus))

    def map(self, function: Callable[..., Any], calls: Iterable[tuple]) -> Generator[Any]:
        """Yield `function(job, *call)` for all calls, in their order.

        When the iterator is closed or raises, no further task of it begins, and those that run are
        waited for.

        Raises:
            InputError: What a task raised, or a worker died again and again.
        """
        # Not `ray.cancel`: it ends this process where the task answers at the same moment
        # (https://github.com/ray-project/ray/issues/54260).
        stop = self._folder / f"stop-{uuid.uuid4().hex}"
        left = iter(calls)
        waiting: deque[Any] = deque()
        try:
            while True:
                for call in islice(left, self._ahead - len(waiting)):
                    waiting.append(self._task.remote(self._job, stop, function, call))
                if not waiting:
                    return
                found = self._result(waiting[0])
                waiting.popleft()
                yield found
        finally:
            self._stop(list(waiting), stop)

    def _result(self, reference: Any) -> Any:
        try:
            found = self._ray.get(reference)
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
        if isinstance(found, _Fault):
            raise found.error
        return found

    def _stop(self, references: list[Any], stop: Path) -> None:
        if not references:
            return
        with suppress(OSError):  # then they all do their work
            stop.touch()
        _, left = self._ray.wait(references, num_returns=len(references), timeout=_PATIENCE_SECONDS)
        if not left:
            with suppress(OSError):
                stop.unlink()


@contextmanager
def ray_cluster(threads: int) -> Iterator[Callable[[Job], RayCluster]]:
    """Yield what makes a `RayCluster` of a job, connected with the cluster there is, or a new one.

    A process that is connected already stays so. Otherwise RAY_ADDRESS counts, then a cluster that
    was started on this machine; where there is none, one is started here for the time being.

    Args:
        threads: CPUs that a task takes.

    Raises:
        MissingDependencyError: Ray is not installed.
        InputError: The cluster cannot be reached, or no node has so many CPUs.
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
        if 0 < most < threads:  # with none at all, those to come may have enough
            raise InputError(
                f"--threads {threads} is more than the {most:g} CPUs of the Ray cluster's largest "
                "node, and a task runs on one node."
            )
        yield lambda job: RayCluster(ray, job)
    finally:
        if ours:
            ray.shutdown()


def import_ray() -> Any:
    """Return the module.

    Raises:
        MissingDependencyError: It is not there.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingDependencyError(
            "--engine ray needs the package ray: pip install 'mlmfast[ray]', on every node."
        ) from error
    return ray


# The job that this worker process knows, by its reference.
_known: dict[str, Job] = {}


def _work(job: list[Any], stop: Path, function: Callable[..., Any], call: tuple) -> Any:
    """Run in a worker process, unless the file `stop` says that nobody waits for the result."""
    if stop.exists():
        return None
    key = job[0].hex()
    if key not in _known:
        found = import_ray().get(job[0])
        _known.clear()
        _known[key] = found
    try:
        return function(_known[key], *call)
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
    """Take all text to the writers; return who encoded it, what was met, and the writers.

    Raises:
        InputError: A text or a source cannot be used, or the cluster cannot.
    """
    whole = DistributedPass(work, sources, reading, tokenizer, options)
    with ray_cluster(whole.job.threads) as connect:
        finished = whole.begin(fingerprint)
        if finished:
            logger.info("Going on with %s of an earlier run.", counted(finished, "finished part"))
        splits = split_writers(work.output, tokenizer, options)
        with progress_bar(whole.size, shown=options.progress) as advance:
            counts, engine = whole.run(connect(whole.job), splits, advance)
    return engine, counts, splits
