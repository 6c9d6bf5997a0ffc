"""Answers from an ONNX folder: onnxruntime, tokenizers and numpy, nothing else."""
