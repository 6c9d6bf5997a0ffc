"""What the Open Inference Protocol says of a model, whether over HTTP or over gRPC.

A model has the input `text` BYTES [n] or [n, 1], and the optional inputs `targets` BYTES [t] and
`top_k`, one integer, which may also be a parameter. Its outputs are, for all m masks of the n texts
in their order and k rows of each mask, `score` FP32, `token` INT64, `token_str` BYTES and
`sequence` BYTES, each [m, k], and `masks` INT32 [n], the number of masks of each text.

Where the model has a sparse encoder, a request may ask for its outputs instead: for all w words of
the n texts `ids` INT64 [w], ascending within a text, `weights` FP32 [w] and `tokens` BYTES [w], and
`counts` INT32 [n], the number of words of each text. They belong to the parameters `threshold`,
`query` and `special_tokens`, and `top_k` is how many words of each text are kept (0: all).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.protocols.endpoint import truncation_kwargs
from mlmfast.serving.http.protocols.requests import FillMaskCall, SparseCall
from mlmfast.serving.http.protocols.v2.outputs import outputs_of, wants_sparse
from mlmfast.serving.http.protocols.v2.parameters import (
    OF_INPUTS,
    PARAMETERS,
    SPARSE_PARAMETERS,
    check_parameters,
)
from mlmfast.serving.http.protocols.v2.signature import INPUTS
from mlmfast.serving.http.protocols.v2.tensors import integer_of, strings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.http.protocols.v2.request import InferRequest, InputTensor
    from mlmfast.serving.http.registry import ServedModel
    from mlmfast.serving.http.settings import ServeSettings

VERSION = "1"
PLATFORM = "onnxruntime_onnx"


def server_metadata(extensions: Sequence[str]) -> dict[str, Any]:
    """Describe the server and the extensions that it has over one transport."""
    from importlib.metadata import version

    return {"name": "mlmfast", "version": version("mlmfast"), "extensions": list(extensions)}


def repository_extension(settings: ServeSettings) -> list[str]:
    """Return the extension by which clients load and unload models, if they may.

    It needs a key, and reaches the one process that answers.
    """
    return ["model_repository"] if settings.needs_key and settings.workers == 1 else []


def model_metadata(served: ServedModel) -> dict[str, Any]:
    """Describe a model: its inputs and outputs."""
    return {
        "name": served.name,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [
            {"name": name, "datatype": kind, "shape": shape} for name, kind, shape, _ in INPUTS
        ],
        "outputs": [
            {"name": name, "datatype": kind, "shape": shape}
            for name, kind, shape in outputs_of(served)
        ],
    }


def infer_call(model: str, body: InferRequest, binary: bytes) -> FillMaskCall | SparseCall:
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
    is_sparse = wants_sparse(body)
    known = PARAMETERS | (SPARSE_PARAMETERS if is_sparse else {})
    check_parameters("the request", body.parameters, known)
    top_k = body.parameters.get("top_k")
    seen = set()
    for tensor in body.inputs:
        if tensor.name in seen:
            raise HTTPError(400, "bad_request", f"The input {tensor.name[:80]!r} is given twice.")
        seen.add(tensor.name)
        check_parameters(f"the input {tensor.name[:80]!r}", tensor.parameters, OF_INPUTS)
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
    truncate = body.parameters.get("truncate", False)
    if is_sparse:
        if targets is not None:
            raise HTTPError(400, "bad_request", "A sparse encoder takes no input targets.")
        return SparseCall(
            model,
            texts,
            "query" if body.parameters.get("query") else "document",
            top_k or None,
            body.parameters.get("threshold", 0.0),
            body.parameters.get("special_tokens", False),
            truncate,
        )
    kwargs = truncation_kwargs(truncate=truncate)
    return FillMaskCall(model, texts, top_k, targets, kwargs)


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
