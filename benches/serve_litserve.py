"""The server that P7 measures as the best known wrapper: LitServe around Optimum's pipeline.

`python benches/serve_litserve.py FOLDER PORT`. LitServe gathers the batches: up to `BATCH` texts,
for as long as ours waits by default. It imports nothing of the other benches: LitServe's packages
come first on its path.
"""

from __future__ import annotations

import sys
from typing import Any

from litserve import LitAPI, LitServer
from optimum.onnxruntime import ORTModelForMaskedLM
from transformers import AutoTokenizer, pipeline

BATCH = 8
"""The fastest of 1, 8 and 32 for short texts, by P6."""
WAIT_SECONDS = 0.002


class FillMaskAPI(LitAPI):
    """One worker process with all cores."""

    def __init__(self, folder: str) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=WAIT_SECONDS)
        self.folder = folder

    def setup(self, device: str) -> None:
        """Load the model, in the worker."""
        model = ORTModelForMaskedLM.from_pretrained(self.folder)
        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        self.fill_mask: Any = pipeline("fill-mask", model=model, tokenizer=tokenizer)

    def decode_request(self, request: dict[str, str]) -> str:
        """Take a request's text."""
        return request["inputs"]

    def predict(self, texts: list[str]) -> list[Any]:
        """Answer a batch."""
        answers = self.fill_mask(texts, batch_size=BATCH)
        return [answers] if len(texts) == 1 else answers

    def encode_response(self, answer: Any) -> Any:
        """Leave the pipeline's rows as they are."""
        return answer


if __name__ == "__main__":
    server = LitServer(FillMaskAPI(sys.argv[1]), accelerator="cpu", fast_queue=True)
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning"
    )
