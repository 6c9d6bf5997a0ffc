"""How many positions a model has: the options that extend it to longer inputs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mlmfast.errors import InputError
from mlmfast.options import check_options, option


@dataclass(frozen=True)
class LengthOptions:
    """Changes to the positions of a model; None keeps those of its configuration."""

    max_position_embeddings: int | None = option(
        "Extend the model to this many positions, as config.json counts them (RoBERTa: 2 more than "
        "tokens).",
        minimum=1,
    )
    rope_theta: float | None = option("Base of the model's rotary position embeddings.")
    rope_scaling: str | Mapping[str, Any] | None = option(
        "Scaling of rotary position embeddings: yarn, or rope_type=yarn,factor=4, or JSON.",
        metavar="TYPE|NAME=VALUE,...",
    )

    def __post_init__(self) -> None:
        check_options(self)
        theta = self.rope_theta
        if theta is not None and not (isinstance(theta, int | float) and 1 < theta < math.inf):
            raise InputError(f"rope_theta is {theta!r}; expected a number above 1, such as 160000.")
        self.scaling()  # raises InputError for one that is malformed

    @property
    def given(self) -> dict[str, Any]:
        """The options that are given, by name."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) is not None
        }

    def scaling(self) -> dict[str, Any]:
        """Return `rope_scaling` as the parameters of transformers; empty if it is not given.

        Raises:
            InputError: it is malformed.
        """
        given = self.rope_scaling
        if given is None:
            return {}
        if isinstance(given, str):
            given = _parse(given)
        if not isinstance(given, Mapping) or not isinstance(given.get("rope_type"), str):
            raise InputError(
                f"rope_scaling is {self.rope_scaling!r}; expected a type (yarn), or "
                "rope_type=yarn,factor=4, or JSON with a rope_type."
            )
        return dict(given)


def _parse(text: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return None
    if "=" not in text:
        return {"rope_type": text}
    parameters: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            parameters[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            parameters[name.strip()] = value.strip()
    return parameters
