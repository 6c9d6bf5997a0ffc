"""Run the measurements and rewrite RESULTS.md; `make bench` calls this.

`python benches/run.py bench_mask` runs that one and leaves the other sections as they were. The
variable MLMFAST_BENCH_RESULTS names another file in RESULTS.md's place: for a second machine.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path

import harness

BENCHES = (
    "bench_group",
    "bench_mask",
    "bench_loader",
    "bench_mixture",
    "bench_tokenize",
    "bench_prepare",
    "bench_near_duplicates",
    "bench_remote",
    "bench_sequences",
    "bench_train",
    "bench_distill",
    "bench_optimizers",
    "bench_documents",
    "bench_lora",
    "bench_fill_mask",
    "bench_int8",
    "bench_serve",
    "bench_connections",
    "bench_scaling",
    "bench_sparse",
)
HEAD = """\
# Measured
P1 to P10: every table holds its own peers, timed in turn in the same run (A B C A B C
...): after one warm-up, the median of {rounds} timings with their least and largest, unless a
section says otherwise. Where columns say how many times as fast ours is, these ratios are what
counts; absolute times are this machine's.
`make bench` rewrites this file.
"""
TARGET = Path(__file__).with_name(os.environ.get("MLMFAST_BENCH_RESULTS", "RESULTS.md"))


def sections(text: str) -> dict[str, str]:
    """What RESULTS.md holds, by bench; a section's title names its file."""
    found = {}
    for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]:
        named = re.search(r"`benches/(\w+)\.py`", part.splitlines()[0])
        if named:
            found[named[1]] = part.rstrip() + "\n"
    return found


def main(*chosen: str) -> None:
    """Write RESULTS.md with the chosen sections anew (all, if none is named), or not at all."""
    unknown = set(chosen) - set(BENCHES)
    if unknown:
        raise SystemExit(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    harness.refuse_debug_build()
    old = sections(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    kept = {name: text for name, text in old.items() if chosen and name not in chosen}
    new = {}
    for name in chosen or BENCHES:
        title, *rest = importlib.import_module(name).main()
        new[name] = "\n".join([title, "", harness.environment(), *rest]) + "\n"
        print(new[name], flush=True)
    found = {**kept, **new}
    parts = [
        HEAD.format(rounds=harness.ROUNDS),
        *(found[name] for name in BENCHES if name in found),
    ]
    TARGET.write_text("\n".join(parts), encoding="utf-8")
    print(f"written to {TARGET}")


if __name__ == "__main__":
    main(*sys.argv[1:])
