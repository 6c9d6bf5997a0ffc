"""Silence for the progress bars of libraries, as long as a command runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# A module that is loaded is switched by its functions; one that comes later reads the variable.
_LIBRARIES = (
    ("huggingface_hub.utils", "progress_bars", "HF_HUB_DISABLE_PROGRESS_BARS"),
    ("datasets.utils.tqdm", "progress_bars", "HF_DATASETS_DISABLE_PROGRESS_BARS"),
    ("transformers.utils.logging", "progress_bar", None),  # goes by the Hub's before it is loaded
    ("tqdm", None, "TQDM_DISABLE"),
)


@contextmanager
def silent_bars() -> Iterator[None]:
    """Let no library show a progress bar; what was before is so again at the end."""
    switched, variables = [], []
    for name, function, variable in _LIBRARIES:
        if name in sys.modules and function is not None:
            module = importlib.import_module(name)
            if _shown(module):
                getattr(module, f"disable_{function}")()
                switched.append(getattr(module, f"enable_{function}"))
        if variable is not None and variable not in os.environ:
            os.environ[variable] = "1"
            variables.append(variable)
    try:
        yield
    finally:
        for enable in switched:
            enable()
        for variable in variables:
            del os.environ[variable]


def _shown(module: object) -> bool:
    if hasattr(module, "is_progress_bar_enabled"):
        return bool(module.is_progress_bar_enabled())
    return not getattr(module, "are_progress_bars_disabled")()  # noqa: B009 - of several libraries
