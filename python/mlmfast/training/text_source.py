"""A text to evaluate on: what the user calls it, and how it is read."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TextSource:
    """A text whose blocks lie in a folder of ours.

    Attributes:
        name: what the user calls the text.
        options: the options of `TEXT_OPTIONS` that were given for it, as values of JSON.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read_with(cls, name: str, given: Mapping[str, Any]) -> TextSource:
        """Return the text of a name; of the options, those that a command can and need repeat."""
        values = {key: str(each) if isinstance(each, Path) else each for key, each in given.items()}
        return cls(
            name,
            {
                key: each
                for key, each in values.items()
                if isinstance(each, str | int | float) and key != "threads"
            },
        )


def flags(options: Mapping[str, Any]) -> str:
    """Return options as a command line has them, each after a blank."""
    words = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [flag] if value else []
        else:
            words += [flag, shlex.quote(str(value))]
    return "".join(f" {word}" for word in words)
