"""The best tokens from the logits of model.onnx, which stay where they were computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.serving.engine.io import feed_for, output_names, read_outputs
from mlmfast.serving.engine.session import SessionOptions, device_of, open_session, running

if TYPE_CHECKING:
    import numpy as np

    from mlmfast.serving.types import Batch, BatchPredictions

# Type of the logits -> a small graph of ours that computes the best tokens of them.
LOGITS_GRAPHS = {
    "tensor(float)": "answers_float32.onnx",
    "tensor(float16)": "answers_float16.onnx",
}


class LogitsTopK:
    """The last part of a fill-mask graph, which model.onnx lacks: softmax and top k at the masks.

    A batch has batch x length x vocabulary logits, of which only the rows at the masks are used.
    With onnxruntime's IO binding they stay in the memory of the device: a second session on the
    same device reads them there, and only the best tokens come to the CPU. On the CPU nothing is
    copied either. (On a GPU this has not been run.)

    Args:
        kind: the type of the logits, a key of LOGITS_GRAPHS.
        session: the onnxruntime session of model.onnx.
    """

    def __init__(self, kind: str, session: Any):
        # OpenVINO's plugin reads and writes the memory of the CPU.
        self._device = "cuda" if device_of(session) == "cuda" else "cpu"
        self._top_k = open_session(
            Path(__file__).with_name(LOGITS_GRAPHS[kind]),
            SessionOptions(self._device, threads=1, spinning=False),
        )

    def run(self, session: Any, columns: dict[str, np.ndarray], batch: Batch) -> BatchPredictions:
        """Run one batch.

        Args:
            session: the onnxruntime session of model.onnx.
            columns: its inputs, [B, length] each.
            batch: the masks, and what to predict there.

        Raises:
            MlmfastError: onnxruntime failed, or the model outputs NaN.
        """
        with running(columns):
            model = session.io_binding()
            for name, value in columns.items():
                model.bind_cpu_input(name, value)
            model.bind_output("logits", self._device)
            session.run_with_iobinding(model)
            model.synchronize_outputs()
            top_k = self._top_k.io_binding()
            top_k.bind_ortvalue_input("logits", model.get_outputs()[0])
            for name, value in feed_for(batch).items():
                top_k.bind_cpu_input(name, value)
            for name in output_names(batch):
                top_k.bind_output(name)
            self._top_k.run_with_iobinding(top_k)
            values = top_k.copy_outputs_to_cpu()
        return read_outputs(batch, values)
