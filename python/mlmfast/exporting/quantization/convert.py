"""Convert both graphs of a folder to a lower precision, if it agrees with float32 on text."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.errors import ExportMismatchError, InputError
from mlmfast.exporting.graph.shared_weights import WEIGHTS, share_weights
from mlmfast.exporting.graph.topk_outputs import add_topk_outputs, remove_topk_outputs
from mlmfast.exporting.quantization.agreement import Agreement, measure_agreement
from mlmfast.exporting.quantization.int8 import eight_bits_overflow, to_int8

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

logger = logging.getLogger(__name__)

_PRECISIONS = ("fp32", "fp16", "int8", "int8-block")


@dataclass(frozen=True)
class Precision:
    """The precision of an export.

    Attributes:
        name: one of PRECISIONS.
        reduce_range: with int8, weights of seven bits, for processors without VNNI or its like.
        texts: texts on which to measure it; None: the built-in sentences.
        min_agreement: the smallest share of masks with the same best token that passes.

    Raises:
        InputError: a value that is none of these.
    """

    name: str = "fp32"
    reduce_range: bool = False
    texts: Sequence[str] | None = None
    min_agreement: float = 0.9

    def __post_init__(self) -> None:
        if self.name not in _PRECISIONS:
            raise InputError(f"precision must be one of {', '.join(_PRECISIONS)}, not {self.name}.")
        if self.reduce_range and self.name != "int8":
            raise InputError(f"reduce_range belongs to int8, and precision is {self.name}.")
        if not 0 <= self.min_agreement <= 1:
            raise InputError(
                f"min_agreement is a share from 0 to 1, and {self.min_agreement} is none."
            )


def quantize(
    model: Path, fused: Path, tokenizer: Any, precision: Precision, *, max_length: int | None
) -> Agreement:
    """Convert two graphs that share their weights, and compare the second with its float32 version.

    Args:
        model: model.onnx in float32.
        fused: fill_mask.onnx in float32, in the same folder.
        tokenizer: the fast tokenizer of transformers.
        precision: the precision to convert to, any but fp32.
        max_length: tokens a text may have.

    Raises:
        ExportMismatchError: too few masks get the token they got in float32.
    """
    folder = model.parent
    overflows = precision.name == "int8" and not precision.reduce_range and eight_bits_overflow()
    if overflows:
        logger.warning(
            "Products of eight bits overflow on this processor, which has no VNNI or its like, and "
            "so do the answers that are judged here. For processors like it: --reduce-range."
        )
    with tempfile.TemporaryDirectory(dir=folder, prefix=".lower-") as place:
        lowered = [Path(place) / path.name for path in (model, fused)]
        for source, target in zip((model, fused), lowered, strict=True):
            _convert(source, target, precision)
        share_weights(lowered)
        judgement = measure_agreement(
            fused, lowered[1], tokenizer, precision.texts, max_length=max_length
        )
        if not judgement.top1_agreement >= precision.min_agreement:
            mend = "leave out what overflows (--reduce-range), " if overflows else ""
            raise ExportMismatchError(
                f"In {precision.name}, {judgement.top1_agreement:.1%} of {judgement.masks} masks "
                f"get the token they get in float32, and {precision.min_agreement:.1%} are "
                f"required. Nothing was written. Judge it on your own texts (--calibration), {mend}"
                "choose another precision, or allow it (--min-agreement)."
            )
        for path in (*lowered, Path(place) / WEIGHTS):
            if path.exists():
                shutil.move(path, folder / path.name)
    return judgement


def _convert(source: Path, target: Path, precision: Precision) -> None:
    import onnx

    graph = onnx.load(str(source))
    if precision.name == "fp16":
        graph = _to_fp16(graph)
    else:
        to_int8(graph, blocks=precision.name == "int8-block", reduce_range=precision.reduce_range)
    onnx.save(graph, str(target), save_as_external_data=True, location=f"{target.name}.weights")


def _to_fp16(graph: onnx.ModelProto) -> Any:
    """Convert to float16, except the softmax at the masks; inputs and outputs keep their types."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    vocab_size = remove_topk_outputs(graph)
    converted = convert_float_to_float16(graph, keep_io_types=True, disable_shape_infer=True)
    if vocab_size is not None:
        add_topk_outputs(converted, vocab_size)
    return converted
