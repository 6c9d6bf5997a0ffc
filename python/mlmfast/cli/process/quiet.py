"""Hides the progress bars of libraries while a command runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# A loaded module is switched off by its functions; one that is loaded later reads the variable.
_LIBRARIES = (
    ("huggingface_hub.utils", "progress_bars", "HF_HUB_DISABLE_PROGRESS_BARS"),
    ("datasets.utils.tqdm", "progress_bars", "HF_DATASETS_DISABLE_PROGRESS_BARS"),
    (
        "transformers.utils.logging",
        "progress_bar",
        None,
    ),  # follows the Hub's until it is loaded
    ("tqdm", None, "TQDM_DISABLE"),
)


@contextmanager
def silent_bars() -> Iterator[None]:
    """Hide the progress bars of all libraries, and restore them at the end."""
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
