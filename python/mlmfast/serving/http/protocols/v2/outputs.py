"""The outputs of a model over the Open Inference Protocol: those of fill-mask or of its encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.protocols.v2.parameters import OF_OUTPUTS, check_parameters
from mlmfast.serving.http.protocols.v2.signature import OUTPUTS, SPARSE_OUTPUTS
from mlmfast.serving.http.protocols.v2.tensors import Tensor
from mlmfast.serving.tasks.sparse import sparse_of

if TYPE_CHECKING:
    from mlmfast.serving.http.protocols.v2.request import InferRequest
    from mlmfast.serving.http.registry import ServedModel
    from mlmfast.serving.scheduler.request import InferenceResponse


def outputs_of(served: ServedModel) -> tuple[tuple[str, str, list[int]], ...]:
    """Return the outputs of a model: name, datatype and shape of each."""
    return OUTPUTS + (SPARSE_OUTPUTS if served.ready and served.model.sparse else ())


def requested_outputs(body: InferRequest) -> list[tuple[str, bool]]:
    """Return the names of the requested outputs, each with whether it is to be binary."""
    binary: bool = body.parameters.get("binary_data_output", False)
    if not body.outputs:
        return [(name, binary) for name, _, _ in OUTPUTS]
    known = [name for name, _, _ in (SPARSE_OUTPUTS if wants_sparse(body) else OUTPUTS)]
    names = [output.name for output in body.outputs]
    for output in body.outputs:
        check_parameters(f"the output {output.name[:80]!r}", output.parameters, OF_OUTPUTS)
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


def wants_sparse(body: InferRequest) -> bool:
    """Whether a request asks for the outputs of the sparse encoder, by the first that it names."""
    first = body.outputs[0].name if body.outputs else ""
    return first in {name for name, _, _ in SPARSE_OUTPUTS}


def output_tensors(body: InferRequest, response: InferenceResponse | None) -> list[Tensor]:
    """Write an answer as the outputs that belong to a request, in their order."""
    if wants_sparse(body):
        return _sparse_tensors(response)
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


def _sparse_tensors(response: InferenceResponse | None) -> list[Tensor]:
    vectors = response.answers if response else []
    ids = [number for vector in vectors for number in vector.ids.tolist()]
    weights = [weight for vector in vectors for weight in vector.weights.tolist()]
    tokens = sparse_of(response.model).words.tokens(ids) if response else []
    counts = [len(vector) for vector in vectors]
    columns: tuple[tuple[list[Any], int], ...] = (
        (ids, len(ids)),
        (weights, len(ids)),
        (tokens, len(ids)),
        (counts, len(counts)),
    )
    return [
        Tensor(name, kind, [size], values)
        for (name, kind, _), (values, size) in zip(SPARSE_OUTPUTS, columns, strict=True)
    ]
