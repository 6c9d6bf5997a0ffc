"""From the logits of all tokens to answers, with the logits left where they were computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.serving.opening import SessionOptions, device_of, open_session, running

if TYPE_CHECKING:
    from mlmfast.serving.questions import Batch

# By the type of the logits: small graphs of our own that find the best tokens.
LOGITS_GRAPHS = {
    "tensor(float)": "answers_float32.onnx",
    "tensor(float16)": "answers_float16.onnx",
}
NO_TARGETS = np.zeros(0, np.int64)


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

    def ask(
        self, session: Any, columns: dict[str, np.ndarray], batch: Batch, top_k: int
    ) -> list[np.ndarray]:
        """Run one batch.

        Args:
            session: onnxruntime's, of model.onnx.
            columns: its inputs, [B, length] each.
            batch: the masks, and targets where there are any.
            top_k: best tokens to find at each mask, where there are no targets.

        Returns:
            Scores float32 [masks, top_k] and their tokens int64, equal scores by id; or the scores
            of the targets alone.

        Raises:
            MlmfastError: onnxruntime failed.
        """
        targets = batch.targets
        with running(columns):
            model = session.io_binding()
            for name, value in columns.items():
                model.bind_cpu_input(name, value)
            model.bind_output("logits", self._device)
            session.run_with_iobinding(model)
            model.synchronize_outputs()
            answers = self._answers.io_binding()
            answers.bind_ortvalue_input("logits", model.get_outputs()[0])
            answers.bind_cpu_input("mask_positions", batch.positions)
            answers.bind_cpu_input("top_k", np.array([top_k if targets is None else 0], np.int64))
            answers.bind_cpu_input("targets", NO_TARGETS if targets is None else targets)
            for name in ("scores", "tokens") if targets is None else ("target_scores",):
                answers.bind_output(name)
            self._answers.run_with_iobinding(answers)
            found: list[np.ndarray] = answers.copy_outputs_to_cpu()
        return found
