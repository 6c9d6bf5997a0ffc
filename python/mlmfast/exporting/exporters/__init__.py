"""The exporters that can write model.onnx beside mlmfast's own tracing."""
