"""The servers that P7 compares: what each is given, its process, and its memory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import fill_mask_worker
from fill_mask_input import Model
from fill_mask_ways import INT8, export_int8
from peer_packages import installed

import mlmfast

LITSERVE = "litserve==0.2.19"
READY_SECONDS = 180.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Way:
    """One server.

    Attributes:
        label: As in the report.
        command: What starts it; a port is to follow.
        path: Where it is asked.
        packages: Packages of its own; None for this environment's.
        engine: The folder of the engine behind it, where it is ours; else None.
    """

    label: str
    command: list[str]
    path: str = "/predict"
    packages: Path | None = None
    engine: Path | None = None

    @property
    def ours(self) -> bool:
        """Whether it is mlmfast."""
        return self.engine is not None


def ways(model: Model, folder: Path) -> tuple[list[Way], list[str]]:
    """Write each server's form of the model below `folder`; and why one is left out."""
    beside = Path(__file__).parent
    found = [
        Way(
            "FastAPI, `pipeline`, torch",
            [sys.executable, str(beside / "serve_fastapi.py"), str(model.checkpoint)],
        )
    ]
    left_out = []
    packages, problem = installed(LITSERVE)
    if problem is None:
        from optimum.exporters.onnx import main_export

        optimum = folder / "optimum"
        main_export(str(model.checkpoint), optimum, task="fill-mask", do_validation=False)
        command = [sys.executable, str(beside / "serve_litserve.py"), str(optimum)]
        found.append(Way("LitServe, Optimum's ORTModelForMaskedLM", command, packages=packages))
    else:
        left_out.append(f"LitServe is left out: {problem}")
    fp32 = Path(mlmfast.export(model.checkpoint, folder / "fp32").output)
    for name, engine in (("fp32", fp32), (INT8, export_int8(model, folder / "int8"))):
        command = [sys.executable, "-m", "mlmfast", "serve", f"model={engine}"]
        # What decides by the load average would see that of the other servers' start.
        command += ["--device", "cpu", "--spinning", "on", "--port"]
        found.append(Way(f"mlmfast serve, {name}", command, "/v1/fill-mask", engine=engine))
    return found, left_out


class Server:
    """A server's process, and those that it began, held while it is not asked."""

    def __init__(self, way: Way, log: Path) -> None:
        self.way = way
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [*way.command, str(self.port)],
                stdout=file,
                stderr=file,
                env=fill_mask_worker.environment(way.packages),
                start_new_session=True,  # a group of its own
            )
        try:
            self._until_ready(log)
        except BaseException:
            self.stop()
            raise
        self.hold()

    def hold(self) -> None:
        """Let it do nothing at all: some servers poll."""
        self._signal(signal.SIGSTOP)

    def go(self) -> None:
        """Let it run."""
        self._signal(signal.SIGCONT)

    def memory(self) -> int | None:
        """Resident bytes of all its processes, what they share counted once; None if unknown."""
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                group = int(stat.read_text().rpartition(")")[2].split()[2])
                if group == self._process.pid:
                    lines = stat.with_name("smaps_rollup").read_text().splitlines()
                    total += next(int(line.split()[1]) for line in lines if line[:4] == "Pss:")
        return total * 1024 or None

    def processor_seconds(self) -> float:
        """Processor time of all its processes so far."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[2]) == self._process.pid:
                    ticks += int(fields[11]) + int(fields[12])  # utime and stime
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it, with all that it began."""
        self._signal(signal.SIGCONT)
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _until_ready(self, log: Path) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5)
                return
            time.sleep(0.1)
        said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{self.way.label} did not become ready:\n{said}")
