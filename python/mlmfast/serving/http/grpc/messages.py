"""The messages of `open_inference.proto`.

They are made from its descriptor in a pool of their own: tritonclient has messages of the same
names, and a process could not import both from one pool.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from mlmfast.serving.http.middleware.access_log import GRPC_SERVICE

SERVICE = GRPC_SERVICE


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    data = resources.files(__package__).joinpath("open_inference.desc").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return pool


@cache
def message(name: str) -> Any:
    """Return the class of a message, such as "ModelInferRequest"."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"inference.{name}"))


def method_messages(method: str) -> tuple[Any, Any]:
    """Return the classes of a method's request and response."""
    found = _pool().FindServiceByName(SERVICE).methods_by_name[method]
    return message(found.input_type.name), message(found.output_type.name)
