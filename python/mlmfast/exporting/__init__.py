"""A checkpoint to an ONNX folder that is proven to compute the same."""
