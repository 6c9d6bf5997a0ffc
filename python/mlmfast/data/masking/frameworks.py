"""What a collator does differently for torch, numpy and TensorFlow: tensors, and seeds."""

from __future__ import annotations

import sys
from typing import Any, Literal, cast, get_args

import numpy as np

from mlmfast.options import check_choice

Framework = Literal["pt", "np", "tf"]


def check_framework(name: str) -> Framework:
    """Return `name`, which must be a value of `return_tensors`.

    Raises:
        InputError: It is not one.
    """
    check_choice("return_tensors", name, get_args(Framework), quoted=True)
    return cast("Framework", name)


def to_tensor(array: np.ndarray, framework: Framework) -> Any:
    """Return `array` as a tensor of the framework; torch's shares its memory."""
    if framework == "pt":
        import torch

        return torch.from_numpy(array)
    if framework == "tf":
        import tensorflow as tf

        return tf.convert_to_tensor(array)
    return array


def global_seed() -> int:
    """Return the process's seed: torch's if torch is loaded, else one drawn with numpy."""
    torch = sys.modules.get("torch")
    if torch is None:
        return int(np.random.randint(0, 2**63 - 1))  # noqa: NPY002 (set_seed seeds this generator)
    return torch.initial_seed() % (1 << 64)


def random_seed(framework: Framework) -> int:
    """Draw a seed of 63 bits from the framework's global generator, which `set_seed` seeds."""
    if framework == "pt":
        import torch

        return int(torch.randint(0, 2**63 - 1, ()))
    if framework == "tf":
        import tensorflow as tf

        return int(tf.random.uniform((), 0, 2**63 - 1, dtype=tf.int64))
    return int(np.random.randint(0, 2**63 - 1))  # noqa: NPY002 (set_seed seeds this generator)


def seeded_generator(framework: Framework, seed: int, stream: int = 0) -> Any:
    """Return a generator of the framework; each stream of a seed has its own, 0 the seed's."""
    if stream:
        seed = int(np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0] >> 1)
    if framework == "pt":
        import torch

        return torch.Generator().manual_seed(seed)
    if framework == "tf":
        import tensorflow as tf

        return tf.random.Generator.from_seed(seed)
    return np.random.default_rng(seed)
