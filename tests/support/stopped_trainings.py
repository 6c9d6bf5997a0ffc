"""Trainings that are stopped at a step, and the weights that two trainings end with."""

from __future__ import annotations

import signal
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file


class At(transformers.TrainerCallback):
    """Does something once a number of steps is done."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_step_end(self, _args, state, _control, **_kwargs):
        if state.global_step == self.step:
            self.action()


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def furthest(one: Path, other: Path) -> float:
    """Return the largest difference of two trainings' weights."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)
