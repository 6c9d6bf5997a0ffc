"""The messages of `mlmfast serve --grpc-port`, beside those of Triton's client."""

from __future__ import annotations

from google.protobuf import descriptor_pb2
from tritonclient.grpc import service_pb2

from mlmfast.serving.http.grpc.messages import message, method_messages


def test_the_messages_are_those_of_triton():
    """Every field of ours has the number, the type and the kind that it has in Triton's client."""
    for name in ("ModelInferRequest", "ModelInferResponse", "ModelStreamInferResponse"):
        compare(message(name).DESCRIPTOR, service_pb2.DESCRIPTOR.message_types_by_name[name])
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for method in (
        "ServerMetadata",
        "ModelMetadata",
        "ModelReady",
        "ModelStatistics",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
    ):
        theirs = service.methods_by_name[method]
        for ours, other in zip(
            method_messages(method), (theirs.input_type, theirs.output_type), strict=True
        ):
            compare(ours.DESCRIPTOR, other)


def compare(ours, theirs):
    assert ours.full_name == theirs.full_name
    for field in ours.fields:
        other = theirs.fields_by_name[field.name]
        assert (field.number, field.type) == (other.number, other.type)
        assert labels(ours)[field.name] == labels(theirs)[field.name]
        if field.message_type:
            compare(field.message_type, other.message_type)


def labels(descriptor):
    """Which fields are repeated, in the one form that all versions of protobuf have."""
    described = descriptor_pb2.DescriptorProto()
    descriptor.CopyToProto(described)
    return {field.name: field.label for field in described.field}
