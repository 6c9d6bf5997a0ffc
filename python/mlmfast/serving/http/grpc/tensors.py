"""Messages of gRPC to the requests that HTTP has too, and answers back to messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mlmfast.serving.http.errors import HTTPError, bad_body
from mlmfast.serving.http.grpc.messages import message
from mlmfast.serving.http.protocols.v2.inference import VERSION
from mlmfast.serving.http.protocols.v2.request import InferRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlmfast.serving.http.protocols.v2.tensors import Tensor

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def infer_request(request: Any) -> tuple[InferRequest, bytes]:
    """Read a `ModelInferRequest`.

    Returns:
        The request, and the bytes of its raw tensors one after the other.

    Raises:
        HTTPError: its inputs are neither all raw nor all in `contents`, or it is not valid.
    """
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise HTTPError(
            400,
            "bad_request",
            f"There are {len(request.inputs)} inputs and {len(raw)} raw_input_contents.",
        )
    inputs = []
    for number, tensor in enumerate(request.inputs):
        described: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "parameters": _parameters(tensor.parameters),
        }
        if raw:
            if tensor.HasField("contents"):
                raise HTTPError(
                    400,
                    "bad_tensor",
                    f"The input {tensor.name[:80]!r} has contents and raw_input_contents.",
                )
            described["parameters"]["binary_data_size"] = len(raw[number])
        else:
            field = _CONTENTS.get(tensor.datatype)
            described["data"] = list(getattr(tensor.contents, field)) if field else []
        inputs.append(described)
    content = {
        "id": request.id or None,
        "inputs": inputs,
        "outputs": [
            {"name": output.name, "parameters": _parameters(output.parameters)}
            for output in request.outputs
        ]
        or None,
        "parameters": _parameters(request.parameters),
    }
    try:
        return InferRequest.model_validate(content), b"".join(raw)
    except ValidationError as error:
        raise bad_body(error) from None


def infer_response(model: str, request_id: str, tensors: Iterable[Tensor]) -> Any:
    """Write a `ModelInferResponse`; its tensors are raw, as Triton's are."""
    response = message("ModelInferResponse")(model_name=model, model_version=VERSION, id=request_id)
    for tensor in tensors:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        response.raw_output_contents.append(tensor.as_binary()[1])
    return response


def _parameters(given: Any) -> dict[str, Any]:
    found = {}
    for name, value in given.items():
        choice = value.WhichOneof("parameter_choice")
        found[name] = getattr(value, choice) if choice else None
    return found
