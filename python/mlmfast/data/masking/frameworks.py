"""What differs between torch, numpy and TensorFlow for a collator: tensors, and seeds."""

from __future__ import annotations

import sys
from typing import Any, Literal, cast, get_args

import numpy as np

from mlmfast.options import check_choice

Framework = Literal["pt", "np", "tf"]


def known_framework(name: str) -> Framework:
    """Return `name`, if it is one that `return_tensors` takes.

    Raises:
        InputError: It is not.
    """
    check_choice("return_tensors", name, get_args(Framework), quoted=True)
    return cast("Framework", name)


def to_tensor(array: np.ndarray, framework: Framework) -> Any:
    """Give `array` as a tensor of the framework; torch's shares its memory."""
    if framework == "pt":
        import torch

        return torch.from_numpy(array)
    if framework == "tf":
        import tensorflow as tf

        return tf.convert_to_tensor(array)
    return array


def global_seed() -> int:
    """The seed of the process: torch's where torch is loaded, else a draw from numpy's."""
    torch = sys.modules.get("torch")
    if torch is None:
        return int(np.random.randint(0, 2**63 - 1))  # noqa: NPY002 (set_seed governs this one)
    return torch.initial_seed() % (1 << 64)


def random_word(framework: Framework) -> int:
    """Draw 63 bits from the global generator of the framework, which `set_seed` governs."""
    if framework == "pt":
        import torch

        return int(torch.randint(0, 2**63 - 1, ()))
    if framework == "tf":
        import tensorflow as tf

        return int(tf.random.uniform((), 0, 2**63 - 1, dtype=tf.int64))
    return int(np.random.randint(0, 2**63 - 1))  # noqa: NPY002 (set_seed governs this one)


def seeded_generator(framework: Framework, seed: int, stream: int = 0) -> Any:
    """A generator of the framework: for stream 0 that of the seed itself, else one of its own."""
    if stream:
        seed = int(np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0] >> 1)
    if framework == "pt":
        import torch

        return torch.Generator().manual_seed(seed)
    if framework == "tf":
        import tensorflow as tf

        return tf.random.Generator.from_seed(seed)
    return np.random.default_rng(seed)
