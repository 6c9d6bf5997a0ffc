"""ONNX Runtime sessions and the batches that run in them."""
