"""Rewrite ONNX graphs."""
