"""The server that P7 measures as what everybody writes first: FastAPI around the pipeline, torch.

`python benches/serve_fastapi.py CHECKPOINT PORT`. An ordinary function is the endpoint, as FastAPI
advises for what blocks: requests run on its pool of threads, each with a forward pass of its own.
It imports nothing of the other benches, as a user's server would not.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline


class Texts(BaseModel):
    """The body of a request."""

    inputs: str


def build_app(checkpoint: str) -> FastAPI:
    """The whole server."""
    app = FastAPI()
    fill_mask = pipeline("fill-mask", model=checkpoint)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/predict")
    def predict(body: Texts) -> Any:
        return fill_mask(body.inputs)

    return app


if __name__ == "__main__":
    uvicorn.run(build_app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
