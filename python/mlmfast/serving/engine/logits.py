"""From the logits of all tokens to answers, with the logits left where they were computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.serving.engine.io import feed_for, output_names, read_outputs
from mlmfast.serving.engine.session import SessionOptions, device_of, open_session, running

if TYPE_CHECKING:
    import numpy as np

    from mlmfast.serving.types import Batch, BatchPredictions

# By the type of the logits: small graphs of our own that find the best tokens.
LOGITS_GRAPHS = {
    "tensor(float)": "answers_float32.onnx",
    "tensor(float16)": "answers_float16.onnx",
}


class LogitsAnswers:
    """The end that model.onnx has not: softmax, best tokens and targets at the masks.

    A batch's logits are batch x length x vocabulary numbers, of which a few rows are wanted. By
    onnxruntime's IO binding they stay in the memory of the device: a second session, on the same
    device, reads them there, and only its answers come to the CPU. On the CPU itself nothing is
    copied either. (On a GPU this has not been run.)

    Args:
        kind: the type of the logits, a key of LOGITS_GRAPHS.
        session: onnxruntime's, of model.onnx: the answers are found on its device.
    """

    def __init__(self, kind: str, session: Any):
        self._device = device_of(session)
        self._answers = open_session(
            Path(__file__).with_name(LOGITS_GRAPHS[kind]),
            SessionOptions(self._device, threads=1, spinning=False),
        )

    def ask(self, session: Any, columns: dict[str, np.ndarray], batch: Batch) -> BatchPredictions:
        """Run one batch.

        Args:
            session: onnxruntime's, of model.onnx.
            columns: its inputs, [B, length] each.
            batch: the masks, and what is wanted there.

        Raises:
            MlmfastError: onnxruntime failed, or the model gives NaN.
        """
        with running(columns):
            model = session.io_binding()
            for name, value in columns.items():
                model.bind_cpu_input(name, value)
            model.bind_output("logits", self._device)
            session.run_with_iobinding(model)
            model.synchronize_outputs()
            answers = self._answers.io_binding()
            answers.bind_ortvalue_input("logits", model.get_outputs()[0])
            for name, value in feed_for(batch).items():
                answers.bind_cpu_input(name, value)
            for name in output_names(batch):
                answers.bind_output(name)
            self._answers.run_with_iobinding(answers)
            values = answers.copy_outputs_to_cpu()
        return read_outputs(batch, values)
