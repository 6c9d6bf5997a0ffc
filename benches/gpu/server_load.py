"""`mlmfast serve` on the GPU, under closed loops of clients."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import gpu_inputs
from gpu_settings import DEVICE, DRY_RUN
from serve_load import Load, run
from serve_ways import Server, Way

CLIENTS = (1, 4) if DRY_RUN else (1, 16, 64, 256)
SECONDS = 0.5 if DRY_RUN else 3.0
LENGTH = 16


def main(folder: Path) -> None:
    """Print a row for each number of clients as soon as it is measured."""
    engine = folder / "fp16"
    command = [sys.executable, "-m", "mlmfast", "serve", f"model={engine}", "--device", DEVICE]
    way = Way("mlmfast serve, fp16", [*command, "--port"], "/v1/fill-mask", engine=engine)
    server = Server(way, folder / "server.log")
    try:
        server.go()
        texts = gpu_inputs.texts(LENGTH)
        run(Load(server.port, way.path, texts, SECONDS, CLIENTS[-1]))  # warms up
        print(f"| clients, {LENGTH} tokens | answers/s | median | 99 % | failures |")
        print("|---|---|---|---|---|", flush=True)
        for clients in CLIENTS:
            seen = run(Load(server.port, way.path, texts, SECONDS, clients))
            times = sorted(1e3 * each for each in seen.latencies)
            cells = [f"{seen.answered:,.0f}", f"{statistics.median(times):.1f} ms"]
            cells += [f"{times[int(0.99 * len(times))]:.1f} ms", str(seen.failures)]
            print(f"| {clients} | " + " | ".join(cells) + " |", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
