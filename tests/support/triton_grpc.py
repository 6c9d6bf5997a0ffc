"""tritonclient over gRPC: where a server listens, and texts as its tensor."""

from __future__ import annotations

import numpy as np
import tritonclient.grpc as triton


def address_of(server) -> str:
    return next(f"127.0.0.1:{line['grpc_port']}" for line in server.log() if "grpc_port" in line)


def texts_input(texts):
    tensor = triton.InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=object))
    return tensor
