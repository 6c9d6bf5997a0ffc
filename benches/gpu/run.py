"""Everything about an NVIDIA GPU, in parts that fit into five minutes; `make bench-gpu` calls this.

Each part is a process with a time limit of its own. What it prints appears at once, and
benches/RESULTS-gpu.md is written anew after each part, so a run that is cut tells what it found.
`python benches/gpu/run.py --parts inputs serve` runs some; `inputs` makes what the others need.

With MLMFAST_GPU_DRY_RUN=1 the CPU stands in for the GPU, with tiny sizes, and nothing is written:
that proves the parts, not the GPU.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parent / "RESULTS-gpu.md"
DRY_RUN = os.environ.get("MLMFAST_GPU_DRY_RUN") == "1"
TOTAL_SECONDS = 300.0
HEAD = """\
# Measured on an NVIDIA GPU
`make bench-gpu` rewrites this file. The models have DistilRoBERTa's size and random weights. MFU
counts the arithmetic that the loss depends on, against the rate of the GPU's data sheet.
"""


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        name: as `--parts` takes it.
        title: its section in the results.
        seconds: its time limit.
        program: the file that runs, and its arguments behind the folder.
    """

    name: str
    title: str
    seconds: float
    program: tuple[str, ...]


PARTS = (
    Part("machine", "Machine", 40, ("gpu_machine",)),
    Part("inputs", "Inputs, and how long they took", 90, ("gpu_inputs",)),
    Part("fill-mask", "Fill-mask", 80, ("fill_mask_speed",)),
    Part("train", "Training, bf16", 40, ("train_steps", "ours")),
    Part("trainer", "Training, the Trainer", 40, ("train_steps", "trainer")),
    Part("waits", "What a training step waits for", 40, ("step_waits",)),
    Part("train-compiled", "Training, compiled", 90, ("train_steps", "ours-compiled")),
    Part(
        "trainer-compiled",
        "Training, the Trainer, compiled",
        90,
        ("train_steps", "trainer-compiled"),
    ),
    Part("serve", "Server", 40, ("server_load",)),
    Part("cuda-graphs", "Placement, and CUDA graphs", 40, ("cuda_graphs",)),
    Part("all-rows", "Training, the head on all rows", 40, ("train_steps", "all-rows")),
    Part("separate", "Training, attention inside documents", 40, ("train_steps", "separate")),
    Part("attention", "Attention inside documents", 60, ("document_attention",)),
)


def run(part: Part, folder: Path, limit: float) -> tuple[str, bool]:
    """Run a part; print what it prints, and return it, and whether it ran to its end."""
    program, *arguments = part.program
    command = [sys.executable, str(HERE / f"{program}.py"), str(folder), *arguments]
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    end = threading.Timer(limit, lambda: os.killpg(process.pid, signal.SIGKILL))
    end.start()
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    status = process.wait()
    end.cancel()
    seconds = time.monotonic() - start
    ended = {0: "", -signal.SIGKILL: f"Cut after {limit:.0f} s. "}.get(
        status, f"FAILED ({status}). "
    )
    note = f"\n{ended}This part took {seconds:.0f} s.\n"
    print(note, flush=True)
    return "".join([*lines, note]), not status


def main() -> int:
    """Run the parts; the number of those that failed or were cut."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=[p.name for p in PARTS], metavar="PART")
    parser.add_argument("--seconds", type=float, default=TOTAL_SECONDS, help="for all parts")
    parser.add_argument("--output", type=Path, default=None if DRY_RUN else TARGET)
    wanted = parser.parse_args()
    # A dry run may be on a machine that does other work.
    patience = 20.0 if DRY_RUN else 1.0
    chosen = [part for part in PARTS if not wanted.parts or part.name in wanted.parts]
    start = time.monotonic()
    sections, failed = [HEAD], 0
    with tempfile.TemporaryDirectory() as folder:
        for part in chosen:
            left = patience * wanted.seconds - (time.monotonic() - start)
            print(f"## {part.title}\n", flush=True)
            if left < 10:
                sections.append(f"## {part.title}\n\nNot run: the time was used up.\n")
                print("Not run: the time was used up.\n", flush=True)
                failed += 1
                continue
            text, whole = run(part, Path(folder), min(left, patience * part.seconds))
            failed += not whole
            sections.append(f"## {part.title}\n\n{text}")
            if wanted.output is not None:
                wanted.output.write_text("\n".join(sections), encoding="utf-8")
            if part.name == "inputs" and not whole:
                print("Without inputs, no other part can run.")
                break
    print(f"{len(chosen) - failed} of {len(chosen)} parts ran to their end.")
    return failed


if __name__ == "__main__":
    sys.exit(main())
