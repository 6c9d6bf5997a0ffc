"""Run every measurement and rewrite RESULTS.md; `make bench` calls this."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import harness

BENCHES = ("bench_group", "bench_mask", "bench_loader")
HEAD = """\
# Measured
Every table holds its own peers, timed in turn in the same run (A B C A B C ...): after one
warm-up, the median of {rounds} timings with their least and largest. The last columns say how many
times as fast ours is. Ratios within a table are what counts; absolute times are this machine's.
`make bench` rewrites this file.

{environment}
"""


def main() -> None:
    """Write RESULTS.md as a whole, or not at all."""
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    harness.refuse_debug_build()
    lines = [HEAD.format(rounds=harness.ROUNDS, environment=harness.environment())]
    for name in BENCHES:
        part = importlib.import_module(name).main()
        print("\n".join(part), flush=True)
        lines += [*part, ""]
    target = Path(__file__).parent / "RESULTS.md"
    target.write_text("\n".join(lines), encoding="utf-8")
    print(f"written to {target}")


if __name__ == "__main__":
    main()
