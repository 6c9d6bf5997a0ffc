"""What the tests take over from who runs them: no variable that changes things, and no cache."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile

# What changes how we, or the libraries that we use, work.
CALLERS = re.compile(
    r"(ACCELERATE|FSDP|DEEPSPEED|HF|HUGGING_?FACE|MLMFAST|RAY|TRANSFORMERS|WANDB|XDG)_.*"
    r"|(LOCAL_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)|TOKENIZERS_PARALLELISM"
    r"|COLUMNS|(FORCE|NO)_COLOR"
)
OF_TESTS = re.compile(r"MLMFAST_((TEST|FUZZ)_.*|CHROMIUM|SIMD|GPU_DRY_RUN)|XDG_RUNTIME_DIR")


def settle() -> str | None:
    """Set the environment, before any library reads it; return the run's cache folder.

    In a worker of pytest-xdist, whose environment comes from the process that began it, that is
    done: None.
    """
    # A shell's `command &` leaves interrupts ignored, in all that the command begins, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "PYTEST_XDIST_WORKER" in os.environ:
        return None
    for name in list(os.environ):
        if CALLERS.fullmatch(name) and not OF_TESTS.fullmatch(name):
            del os.environ[name]
    folder = tempfile.mkdtemp(prefix="mlmfast-tests-")
    os.environ |= {
        # What would be in ~/.cache: ours, Hugging Face's, matplotlib's.
        "XDG_CACHE_HOME": folder,
        "HF_HUB_OFFLINE": "1",
        # Servers of this machine are asked without a proxy.
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        # Tests run side by side, with small models: threads of torch would wait for each other,
        # spinning, while other tests have their cores.
        "OMP_NUM_THREADS": "1",
    }
    return folder


def leave(folder: str | None) -> None:
    """Remove the cache folder."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
