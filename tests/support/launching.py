"""Functions run in several processes that train together, as `torchrun` starts them.

A server process that has imported what takes seconds forks them, so that each begins at once.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import traceback
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from places import SUPPORT

HERE = str(SUPPORT)


@dataclass
class Ended:
    """How a process ended: its answer, or its error; neither where it was killed."""

    value: Any = None
    error: str | None = None
    message: str = ""
    status: int | None = None


def launch(count: int, function, *args, seconds: float = 480) -> list[Ended]:
    """Run `function(*args)` in `count` processes; when one fails, the others are ended.

    With `count` 1 the process is alone, as without `torchrun`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["mlmfast.training.train", "mlmfast.training.trainer.step_batches"]
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pipes, processes = [], []
    for rank in range(count):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_child, args=(theirs, rank, count, port, function, args), daemon=True
        )
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    running = list(processes)
    while running:
        gone = wait([process.sentinel for process in running], timeout=seconds)
        ended = [process for process in running if process.sentinel in gone]
        running = [process for process in running if process.sentinel not in gone]
        for process in ended:
            process.join()
        failed = not gone or any(process.exitcode for process in ended)
        if failed and running:
            # They meet the same error, or lose the one that is gone; what hangs is killed.
            if wait([process.sentinel for process in running], timeout=20):
                continue
            for process in running:
                process.kill()
    found = []
    for pipe, process in zip(pipes, processes, strict=True):
        try:
            told = pipe.recv() if pipe.poll() else Ended()
        except EOFError:
            told = Ended()
        told.status = process.exitcode
        found.append(told)
    return found


def _child(pipe, rank, count, port, function, args):
    import torch

    torch.set_num_threads(1)
    sys.path.insert(0, HERE)
    if count > 1:
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        os.environ.update({name: str(value) for name, value in places.items()})
        os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
        os.environ["OMP_NUM_THREADS"] = "1"
    status = 0
    try:
        pipe.send(Ended(function(*args)))
    except BaseException as error:  # noqa: BLE001 (told to the test)
        if os.environ.get("MLMFAST_TEST_TRACES"):
            traceback.print_exc()
        pipe.send(Ended(error=type(error).__name__, message=str(error)))
        status = 1
    sys.stdout.flush()
    os._exit(status)
