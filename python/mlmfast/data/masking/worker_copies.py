"""Which copy of a collator a data loading worker holds, as counted by the process that starts it.

A worker cannot tell by itself which pass over the data it serves: torch's seed of a worker is
another one in every run. The parent process can: it starts every worker.
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

# How many things around a loader's `collate_fn` are looked at for a collator: Trainer's wrapper
# holds it directly, a function of the user names it beside a few others.
_REACH = 200

_COUNTERS: weakref.WeakSet[WorkerCopies] = weakref.WeakSet()


class WorkerCopies:
    """Counts the copies of its owner that are handed to new processes.

    A copy that `spawn` or `forkserver` pickles, or `fork` makes, carries the number the parent had
    reached: 1 in the first worker that was started, 2 in the second, and so on, in every run. Any
    other copy (`copy.deepcopy`, `pickle.dumps`) counts as the original does.

    Attributes:
        number: In a new process the number of its copy; in the parent, copies handed out so far.
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
        """A number of up to 52 bits for the worker that this is; 0 outside of a worker."""
        torch = sys.modules.get("torch")
        worker = torch.utils.data.get_worker_info() if torch is not None else None
        return 0 if worker is None else (self.number << 20) + worker.id + 1


def _count_fork() -> None:
    """Count the copies that a process started by `multiprocessing` is about to get by `fork`."""
    process = _starting_process()
    arguments = getattr(process, "_args", ())
    if not _COUNTERS or not arguments:
        return
    counters = _held_by(given for given in arguments if callable(given))
    target = getattr(process, "_target", None)
    if not counters and str(getattr(target, "__module__", "")).startswith("torch.utils.data"):
        # A collate_fn that hides what it calls: better a number too many than masks that repeat.
        counters = set(_COUNTERS)
    for counter in counters:
        counter.number += 1


def _starting_process() -> Any:
    """The `multiprocessing` process whose start forks now; None for any other fork."""
    from multiprocessing import popen_fork

    launch: Any = popen_fork.Popen._launch  # type: ignore[attr-defined]  # noqa: SLF001
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - fork tells its hooks nothing
    while frame is not None and frame.f_code is not launch.__code__:
        frame = frame.f_back
    return None if frame is None else frame.f_locals.get("process_obj")


def _held_by(callables: Iterable[Any]) -> set[WorkerCopies]:
    """The counters of what `callables` visibly call or hold, the nearest things first."""
    seen: dict[int, Any] = {}
    waiting = deque(callables)
    while waiting and len(seen) < _REACH:
        thing = waiting.popleft()
        if id(thing) not in seen:
            seen[id(thing)] = thing
            waiting.extend(_parts(thing))
    return {thing for thing in seen.values() if isinstance(thing, WorkerCopies)}


def _parts(thing: Any) -> list[Any]:
    """What a callable calls, as far as it shows: attributes, bound objects, names of a function."""
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if (owner := getattr(thing, "__self__", None)) is not None:
        return [owner]
    if inspect.isfunction(thing):
        try:
            variables = inspect.getclosurevars(thing)
        except (TypeError, ValueError):  # a cell that is not filled yet
            return []
        found = [*variables.nonlocals.values(), *variables.globals.values()]
    else:
        found = [] if isinstance(thing, type) else list(getattr(thing, "__dict__", {}).values())
    return [part for part in found if callable(part) or _counts(part)]


def _counts(thing: Any) -> bool:
    """Whether this is a counter, or something that has one."""
    counted = [thing, *getattr(thing, "__dict__", {}).values()]
    return any(isinstance(part, WorkerCopies) for part in counted)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork)
