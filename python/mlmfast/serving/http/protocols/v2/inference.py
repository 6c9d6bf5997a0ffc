"""What the Open Inference Protocol says of a model, whether over HTTP or over gRPC.

A model has the input `text` BYTES [n] or [n, 1], and the optional inputs `targets` BYTES [t] and
`top_k`, one integer, which may also be a parameter. Its outputs are, for all m masks of the n texts
in their order and k rows of each mask, `score` FP32, `token` INT64, `token_str` BYTES and
`sequence` BYTES, each [m, k], and `masks` INT32 [n], the number of masks of each text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.protocols.endpoint import truncation_kwargs
from mlmfast.serving.http.protocols.requests import FillMaskCall
from mlmfast.serving.http.protocols.v2.tensors import Tensor, integer_of, strings_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlmfast.serving.http.settings import ServeSettings
    from mlmfast.serving.scheduler.request import InferenceResponse

VERSION = "1"
PLATFORM = "onnxruntime_onnx"
INPUTS = (
    ("text", "BYTES", [-1], False),
    ("targets", "BYTES", [-1], True),
    ("top_k", "INT32", [1], True),
)
OUTPUTS = (
    ("score", "FP32", [-1, -1]),
    ("token", "INT64", [-1, -1]),
    ("token_str", "BYTES", [-1, -1]),
    ("sequence", "BYTES", [-1, -1]),
    ("masks", "INT32", [-1]),
)


# The parameters that there are, and their types.
_PARAMETERS = {"top_k": int, "truncate": bool, "binary_data_output": bool}
_OF_INPUTS = {"binary_data_size": int}
_OF_OUTPUTS = {"binary_data": bool}


def _schema_of(parameters: Mapping[str, type]) -> dict[str, Any]:
    """Return the JSON schema of an object of parameters."""
    kinds = {int: "integer", bool: "boolean"}
    return {
        "properties": {name: {"type": kinds[kind]} for name, kind in parameters.items()},
        "additionalProperties": False,
    }


class InputTensor(BaseModel):
    """An input of an inference request."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(json_schema_extra={"enum": [name for name, *_ in INPUTS]})
    datatype: str = Field(description="BYTES; for top_k an integer, as INT32.")
    shape: list[Annotated[int, Field(strict=True)]] = Field(max_length=8, fail_fast=True)
    data: list[Any] | None = None
    parameters: dict[str, Any] = Field(
        default_factory=dict, json_schema_extra=lambda schema: schema.update(_schema_of(_OF_INPUTS))
    )


class OutputTensor(BaseModel):
    """A requested output."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(json_schema_extra={"enum": [name for name, *_ in OUTPUTS]})
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        json_schema_extra=lambda schema: schema.update(_schema_of(_OF_OUTPUTS)),
    )


class InferRequest(BaseModel):
    """The JSON part of an inference request."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1, max_length=8, fail_fast=True)
    outputs: list[OutputTensor] | None = Field(
        None, max_length=8, fail_fast=True, json_schema_extra={"uniqueItems": True}
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        json_schema_extra=lambda schema: schema.update(_schema_of(_PARAMETERS)),
    )


def server_metadata(extensions: Sequence[str]) -> dict[str, Any]:
    """Describe the server and the extensions that it has over one transport."""
    from importlib.metadata import version

    return {"name": "mlmfast", "version": version("mlmfast"), "extensions": list(extensions)}


def repository_extension(settings: ServeSettings) -> list[str]:
    """Return the extension by which clients load and unload models, if they may.

    It needs a key, and reaches the one process that answers.
    """
    return ["model_repository"] if settings.needs_key and settings.workers == 1 else []


def model_metadata(name: str) -> dict[str, Any]:
    """Describe a model: its inputs and outputs."""
    return {
        "name": name,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [
            {"name": name, "datatype": kind, "shape": shape} for name, kind, shape, _ in INPUTS
        ],
        "outputs": [
            {"name": name, "datatype": kind, "shape": shape} for name, kind, shape in OUTPUTS
        ],
    }


def infer_call(model: str, body: InferRequest, binary: bytes) -> FillMaskCall:
    """Make a call from a request.

    Args:
        model: the name of the model.
        body: the request.
        binary: the bytes of its tensors that have a `binary_data_size`, one after the other.

    Raises:
        HTTPError: an input or a parameter cannot be used.
    """
    texts: list[str] | None = None
    targets: list[str] | None = None
    _check_parameters("the request", body.parameters, _PARAMETERS)
    top_k = body.parameters.get("top_k")
    seen = set()
    for tensor in body.inputs:
        if tensor.name in seen:
            raise HTTPError(400, "bad_request", f"The input {tensor.name[:80]!r} is given twice.")
        seen.add(tensor.name)
        _check_parameters(f"the input {tensor.name[:80]!r}", tensor.parameters, _OF_INPUTS)
        own, binary = _own_bytes(tensor, binary)
        if tensor.name == "top_k":
            top_k = integer_of("top_k", tensor.datatype, tensor.shape, tensor.data, own)
            continue
        if tensor.datatype != "BYTES":
            raise HTTPError(
                400,
                "bad_tensor",
                f"The input {tensor.name[:80]!r} has the datatype {tensor.datatype[:20]!r}, and "
                "must be BYTES.",
            )
        strings = strings_of(tensor.name, tensor.shape, tensor.data, own)
        if tensor.name == "text":
            texts = strings
        elif tensor.name == "targets":
            targets = strings
        else:
            raise HTTPError(
                400,
                "bad_request",
                f"There is no input {tensor.name[:80]!r}; there are text, targets and top_k.",
            )
    if binary:
        raise HTTPError(400, "bad_request", f"{len(binary)} bytes belong to none of the inputs.")
    if texts is None:
        raise HTTPError(400, "bad_request", "The input text is missing.")
    kwargs = truncation_kwargs(truncate=body.parameters.get("truncate", False))
    return FillMaskCall(model, texts, top_k, targets, kwargs)


def _check_parameters(of: str, given: Mapping[str, Any], known: Mapping[str, type]) -> None:
    for name, value in given.items():
        kind = known.get(name)
        if kind is None:
            there = f"there is {', '.join(known)}" if known else "it has none"
            raise HTTPError(
                400, "bad_request", f"The parameter {name[:80]!r} of {of} is not known: {there}."
            )
        if type(value) is not kind:
            word = "true or false" if kind is bool else "an integer"
            raise HTTPError(400, "bad_request", f"The parameter {name} of {of} must be {word}.")


def _own_bytes(tensor: InputTensor, binary: bytes) -> tuple[bytes | None, bytes]:
    """Split a tensor's bytes from the rest; None for a tensor without bytes."""
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        return None, binary
    if tensor.data is not None:
        raise HTTPError(
            400, "bad_tensor", f"The input {tensor.name[:80]!r} has data and binary data."
        )
    if not 0 <= size <= len(binary):
        raise HTTPError(
            400,
            "bad_tensor",
            f"The input {tensor.name[:80]!r} has a binary_data_size that is not in the body.",
        )
    return binary[:size], binary[size:]


def requested_outputs(body: InferRequest) -> list[tuple[str, bool]]:
    """Return the names of the requested outputs, each with whether it is to be binary."""
    binary: bool = body.parameters.get("binary_data_output", False)
    known = [name for name, _, _ in OUTPUTS]
    if not body.outputs:
        return [(name, binary) for name in known]
    names = [output.name for output in body.outputs]
    for output in body.outputs:
        _check_parameters(f"the output {output.name[:80]!r}", output.parameters, _OF_OUTPUTS)
        if names.count(output.name) > 1:
            raise HTTPError(
                400, "bad_request", f"The output {output.name[:80]!r} is requested twice."
            )
        if output.name not in known:
            raise HTTPError(
                400,
                "bad_request",
                f"There is no output {output.name[:80]!r}; there are {', '.join(known)}.",
            )
    return [
        (output.name, bool(output.parameters.get("binary_data", binary))) for output in body.outputs
    ]


def output_tensors(response: InferenceResponse | None) -> list[Tensor]:
    """Write an answer as the outputs of the model, in the order of `OUTPUTS`."""
    masks = response.masks if response else []
    rows: list[list[dict[str, Any]]] = []
    if response:
        for answer, count in zip(response.answers, masks, strict=True):
            rows += [answer] if count == 1 else answer
    flat = [row for of_mask in rows for row in of_mask]
    shape = [len(rows), len(rows[0]) if rows else 0]
    of_rows = [
        Tensor(name, kind, shape, [row[name] for row in flat])
        for name, kind, _ in OUTPUTS
        if name != "masks"
    ]
    return [*of_rows, Tensor("masks", "INT32", [len(masks)], masks)]
