"""CUDA graphs: the kernels of a batch, captured once for each shape and started by one call.

onnxruntime captures graphs whose shapes follow from their inputs' and that run on the GPU alone.
fill_mask.onnx reads sizes from `top_k` and `want_probabilities`, which lie on the CPU, so that
`mlmfast export --cuda-graphs` writes fill_mask_fixed.onnx beside it, whose `top_k` is a constant.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError, NotFoundError
from mlmfast.serving.engine.buckets import Bucket, bucket_for, fill_bucket
from mlmfast.serving.engine.columns import column_types, of_types
from mlmfast.serving.engine.io import read_outputs
from mlmfast.serving.engine.session import SessionOptions, open_session, running
from mlmfast.serving.folder import FIXED
from mlmfast.serving.types import make_batch, split_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlmfast.serving.types import MaskedText, OutputSpec, Predictions

# What captures.
DEVICE = "cuda"


class CapturedGraphs:
    """fill_mask_fixed.onnx, captured for each shape when it first comes.

    It is safe to use from several threads, of which one runs at a time: a captured graph reads and
    writes the same memory each time.

    Attributes:
        top_k: how many of the best tokens it gives, at most.
    """

    def __init__(
        self, graph: Path, options: SessionOptions, *, max_length: int | None, pad_id: int
    ):
        """Open the graph.

        Args:
            graph: fill_mask_fixed.onnx.
            options: those of the session, with `cuda_graphs` set.
            max_length: tokens a text may have; None: no limit.
            pad_id: the id of padding.

        Raises:
            NotFoundError: there is no such graph.
            InputError: it is another graph.
            MlmfastError: onnxruntime does not capture it.
        """
        if not graph.is_file():
            raise NotFoundError(
                f"cuda_graphs needs {graph}, which `mlmfast export --cuda-graphs` writes: export "
                "the checkpoint again with it."
            )
        self._session = open_session(graph, options)
        top_k = self._session.get_modelmeta().custom_metadata_map.get("mlmfast.top_k", "")
        if not top_k.isdecimal():
            raise InputError(
                f"{graph} does not say how many tokens it gives: write the folder again with "
                "`mlmfast export --cuda-graphs --overwrite`."
            )
        self.top_k = int(top_k)
        self._types = column_types(graph, self._session, besides=("mask_positions",))
        self._types["mask_positions"] = np.int64
        self._device = "cuda" if options.device == "cuda" else "cpu"
        self._max_length = max_length
        self._pad_id = pad_id
        self._bound: dict[Bucket, _Bound] = {}
        self._lock = threading.Lock()

    def run_texts(
        self, texts: Sequence[MaskedText], output_spec: OutputSpec
    ) -> list[Predictions] | None:
        """Run texts as one batch; None where it needs a shape or outputs that are not captured.

        Raises:
            MlmfastError: the model outputs NaN, or onnxruntime fails.
        """
        batch = make_batch(texts, output_spec, self._pad_id)
        bucket = bucket_for(texts, self._max_length)
        if bucket is None or batch.targets is not None or (batch.top_k or 0) > self.top_k:
            return None
        feed = of_types(fill_bucket(texts, bucket, self._pad_id), self._types)
        with self._lock, running(feed):
            if bucket not in self._bound:
                self._bound[bucket] = self._bind(bucket, feed)
            outputs = self._bound[bucket].run(self._session, feed)
        masks = len(batch.positions)
        found = read_outputs(batch, [output[:masks] for output in outputs])
        return split_predictions(texts, batch, output_spec, found)

    def _bind(self, bucket: Bucket, feed: dict[str, np.ndarray]) -> _Bound:
        from onnxruntime import OrtValue, RunOptions

        binding = self._session.io_binding()
        inputs = {
            name: OrtValue.ortvalue_from_numpy(value, self._device, 0)
            for name, value in feed.items()
        }
        shape = (bucket.masks, self.top_k)
        outputs = [
            OrtValue.ortvalue_from_shape_and_type(shape, kind, self._device, 0)
            for kind in (np.float32, np.int64)
        ]
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in zip(("scores", "tokens"), outputs, strict=True):
            binding.bind_ortvalue_output(name, value)
        options = RunOptions()
        # One number for each shape: onnxruntime replays a number without a look at the shapes.
        options.add_run_config_entry("gpu_graph_id", str(len(self._bound) + 1))
        return _Bound(binding, inputs, outputs, options)


@dataclass(frozen=True, slots=True)
class _Bound:
    """A shape's memory, which stays where it is.

    Attributes:
        binding: onnxruntime's IOBinding of all of it.
        inputs: by name.
        outputs: scores and tokens.
        options: name the captured graph.
    """

    binding: Any
    inputs: dict[str, Any]
    outputs: list[Any]
    options: Any

    def run(self, session: Any, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Copy the inputs there, run, copy the outputs."""
        for name, value in self.inputs.items():
            value.update_inplace(np.ascontiguousarray(feed[name]))
        self.binding.synchronize_inputs()
        session.run_with_iobinding(self.binding, self.options)
        self.binding.synchronize_outputs()
        return [np.array(value.numpy()) for value in self.outputs]


def open_captured(
    folder: Path, options: SessionOptions, *, device: str, max_length: int | None, pad_id: int
) -> CapturedGraphs:
    """Open the graph of a folder that is captured.

    Args:
        folder: the ONNX folder.
        options: those of the engine's sessions.
        device: where these really run.
        max_length: tokens a text may have; None: no limit.
        pad_id: the id of padding.

    Raises:
        MlmfastError: as `CapturedGraphs`; or `device` captures nothing.
    """
    if device != DEVICE:
        raise InputError(
            f"cuda_graphs are for an NVIDIA GPU, and this runs on {device!r}: use device='cuda', "
            "or leave cuda_graphs out."
        )
    settings = SessionOptions(device, options.threads, options.spinning, cuda_graphs=True)
    return CapturedGraphs(folder / FIXED, settings, max_length=max_length, pad_id=pad_id)
