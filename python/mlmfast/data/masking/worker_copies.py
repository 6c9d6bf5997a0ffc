"""Number the copies of a collator in data loading workers, in the process that starts these.

A worker cannot know by itself which pass over the data it serves: the seed that torch gives it
differs in every run. The parent process knows, since it starts every worker.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import weakref
from collections import deque
from collections.abc import Iterable
from multiprocessing import context
from types import FrameType
from typing import Any

# The most objects around a loader's `collate_fn` that are searched for a collator: the Trainer's
# wrapper holds it directly, and a function of the user refers to it and to a few other objects.
_MAX_VISITED = 200

_COUNTERS: weakref.WeakSet[WorkerCopies] = weakref.WeakSet()


class WorkerCopies:
    """Counts the copies of its owner that go to new processes.

    A copy made by `spawn`, `forkserver` or `fork` has the number that the parent had counted up to:
    1 in the first worker, 2 in the second, and so on, in every run. Any other copy
    (`copy.deepcopy`, `pickle.dumps`) has the number of the original.

    Attributes:
        number: In a new process the number of its copy; in the parent the number of copies so far.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number
        _COUNTERS.add(self)

    def __getstate__(self) -> dict[str, int]:
        if context.get_spawning_popen() is not None:
            self.number += 1
        return {"number": self.number}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def stream(self) -> int:
        """Return this worker's own number, of up to 52 bits; 0 outside of a worker."""
        torch = sys.modules.get("torch")
        worker = torch.utils.data.get_worker_info() if torch is not None else None
        return 0 if worker is None else (self.number << 20) + worker.id + 1


def _count_fork() -> None:
    """Count the copies that a `fork` of `multiprocessing` is about to make."""
    process = _starting_process()
    arguments = getattr(process, "_args", ())
    if not _COUNTERS or not arguments:
        return
    counters = _reachable_from(argument for argument in arguments if callable(argument))
    target = getattr(process, "_target", None)
    if not counters and str(getattr(target, "__module__", "")).startswith("torch.utils.data"):
        # A collate_fn that hides what it calls: a number too many is better than repeated masks.
        counters = set(_COUNTERS)
    for counter in counters:
        counter.number += 1


def _starting_process() -> Any:
    """Return the `multiprocessing` process that is being forked; None for any other fork."""
    from multiprocessing import popen_fork

    launch: Any = popen_fork.Popen._launch  # type: ignore[attr-defined]  # noqa: SLF001
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - fork hooks get no arguments
    while frame is not None and frame.f_code is not launch.__code__:
        frame = frame.f_back
    return None if frame is None else frame.f_locals.get("process_obj")


def _reachable_from(callables: Iterable[Any]) -> set[WorkerCopies]:
    """Return the counters that `callables` refer to, in a breadth-first search."""
    visited: dict[int, Any] = {}
    queue = deque(callables)
    while queue and len(visited) < _MAX_VISITED:
        item = queue.popleft()
        if id(item) not in visited:
            visited[id(item)] = item
            queue.extend(_references(item))
    return {item for item in visited.values() if isinstance(item, WorkerCopies)}


def _references(item: Any) -> list[Any]:
    """Return what an object may call: its attributes, its bound object, a function's variables."""
    if isinstance(item, functools.partial):
        return [item.func, *item.args, *item.keywords.values()]
    if (owner := getattr(item, "__self__", None)) is not None:
        return [owner]
    if inspect.isfunction(item):
        try:
            variables = inspect.getclosurevars(item)
        except (TypeError, ValueError):  # a closure's cell that is still empty
            return []
        values = [*variables.nonlocals.values(), *variables.globals.values()]
    else:
        values = [] if isinstance(item, type) else list(getattr(item, "__dict__", {}).values())
    return [value for value in values if callable(value) or _has_counter(value)]


def _has_counter(item: Any) -> bool:
    """Whether an object is a counter, or has one as an attribute."""
    attributes = getattr(item, "__dict__", {}).values()
    return any(isinstance(value, WorkerCopies) for value in (item, *attributes))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork)
