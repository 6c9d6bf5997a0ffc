"""The machine: GPU, driver, libraries, and what `mlmfast doctor` says."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from gpu_settings import DRY_RUN

from mlmfast.doctor.examine import examine
from mlmfast.doctor.text import describe

PACKAGES = ("torch", "triton", "transformers", "onnxruntime-gpu", "nvidia-cudnn-cu13")


def main(_folder: Path) -> None:
    """Print it."""
    for name in PACKAGES:
        try:
            print(f"- {name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"- {name} is not installed")
    if not DRY_RUN:
        import torch

        about = torch.cuda.get_device_properties(0)
        print(f"- {about.name}, {about.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}")
    print("\n```", describe(examine()), "```", sep="\n", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
