"""The parameters of requests of the Open Inference Protocol, and their types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.serving.http.errors import HTTPError

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETERS: dict[str, type] = {"top_k": int, "truncate": bool, "binary_data_output": bool}
SPARSE_PARAMETERS: dict[str, type] = {"threshold": float, "query": bool, "special_tokens": bool}
OF_INPUTS = {"binary_data_size": int}
OF_OUTPUTS = {"binary_data": bool}


def schema_of(parameters: Mapping[str, type]) -> dict[str, Any]:
    """Return the JSON schema of an object of parameters."""
    kinds = {int: "integer", bool: "boolean", float: "number"}
    return {
        "properties": {name: {"type": kinds[kind]} for name, kind in parameters.items()},
        "additionalProperties": False,
    }


def check_parameters(of: str, given: Mapping[str, Any], known: Mapping[str, type]) -> None:
    """Refuse parameters that are not known, or of another type.

    Raises:
        HTTPError: one of `given` is not in `known`, or has another type.
    """
    for name, value in given.items():
        kind = known.get(name)
        if kind is None:
            there = f"there is {', '.join(known)}" if known else "it has none"
            raise HTTPError(
                400, "bad_request", f"The parameter {name[:80]!r} of {of} is not known: {there}."
            )
        if type(value) is not kind and (kind, type(value)) != (float, int):
            word = {bool: "true or false", int: "an integer"}.get(kind, "a number")
            raise HTTPError(400, "bad_request", f"The parameter {name} of {of} must be {word}.")
