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
from mlmfast.exporting.quantization.sparse_agreement import (
    SparseAgreement,
    measure_sparse_agreement,
)
from mlmfast.exporting.sparse.outputs import (
    OUTPUTS,
    add_sparse_outputs,
    remove_sparse_outputs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from mlmfast.exporting.sparse.definition import SparseDefinition

logger = logging.getLogger(__name__)

_PRECISIONS = ("fp32", "fp16", "int8", "int8-block")


@dataclass(frozen=True)
class Precision:
    """The precision of an export.

    Attributes:
        name: one of PRECISIONS.
        reduce_range: with int8, weights of seven bits, for processors without VNNI or its like.
        texts: texts on which to measure it; None: the built-in sentences.
        min_agreement: the smallest share of masks with the same best token that passes, or for a
            sparse encoder the smallest mean cosine of its vectors.

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


@dataclass(frozen=True)
class Judgement:
    """How far a lower precision agrees with float32 on text.

    Attributes:
        fill_mask: at the masks of texts.
        sparse: in the sparse vectors of texts; None where there is no sparse.onnx.
    """

    fill_mask: Agreement
    sparse: SparseAgreement | None = None


def quantize(
    graphs: Sequence[Path],
    tokenizer: Any,
    precision: Precision,
    *,
    max_length: int | None,
    definition: SparseDefinition | None = None,
) -> Judgement:
    """Convert graphs that share their weights, and compare them with their float32 versions.

    Args:
        graphs: model.onnx and fill_mask.onnx in float32, and sparse.onnx where there is one, in the
            same folder.
        tokenizer: the fast tokenizer of transformers.
        precision: the precision to convert to, any but fp32.
        max_length: tokens a text may have.
        definition: what sparse.onnx computes; None where there is none.

    Raises:
        ExportMismatchError: too few masks get the token they got in float32, or with sparse.onnx
            its vectors are too far from those in float32.
    """
    folder = graphs[0].parent
    overflows = precision.name == "int8" and not precision.reduce_range and eight_bits_overflow()
    if overflows:
        logger.warning(
            "Products of eight bits overflow on this processor, which has no VNNI or its like, and "
            "so do the answers that are judged here. For processors like it: --reduce-range."
        )
    with tempfile.TemporaryDirectory(dir=folder, prefix=".lower-") as place:
        lowered = [Path(place) / path.name for path in graphs]
        for source, target in zip(graphs, lowered, strict=True):
            _convert(source, target, precision, definition)
        share_weights(lowered)
        judgement = _judge(graphs, lowered, tokenizer, precision, max_length)
        _require(judgement, precision, overflows=overflows)
        for path in (*lowered, Path(place) / WEIGHTS):
            if path.exists():
                shutil.move(path, folder / path.name)
    return judgement


def _judge(
    exact: Sequence[Path],
    lowered: Sequence[Path],
    tokenizer: Any,
    precision: Precision,
    max_length: int | None,
) -> Judgement:
    texts = precision.texts
    sparse = None
    if len(exact) > 2:
        sparse = measure_sparse_agreement(
            exact[2], lowered[2], tokenizer, texts, max_length=max_length
        )
    masks = measure_agreement(exact[1], lowered[1], tokenizer, texts, max_length=max_length)
    return Judgement(masks, sparse)


def _require(judgement: Judgement, precision: Precision, *, overflows: bool) -> None:
    masks, sparse = judgement.fill_mask, judgement.sparse
    if sparse is None:
        passed = masks.top1_agreement >= precision.min_agreement
        found = (
            f"{masks.top1_agreement:.1%} of {masks.masks} masks get the token they get in float32, "
            f"and {precision.min_agreement:.1%} are required"
        )
    else:
        passed = sparse.cosine >= precision.min_agreement
        found = (
            f"the vectors of {sparse.texts} texts have a mean cosine of {sparse.cosine:.3f} with "
            f"those in float32, and {precision.min_agreement:.3f} is required"
        )
    if not passed:
        mend = "leave out what overflows (--reduce-range), " if overflows else ""
        raise ExportMismatchError(
            f"In {precision.name}, {found}. Nothing was written. Judge it on your own texts "
            f"(--calibration), {mend}choose another precision, or allow it (--min-agreement)."
        )


def _convert(
    source: Path, target: Path, precision: Precision, definition: SparseDefinition | None
) -> None:
    import onnx

    graph = onnx.load(str(source))
    if precision.name == "fp16":
        graph = _to_fp16(graph, definition)
    else:
        to_int8(graph, blocks=precision.name == "int8-block", reduce_range=precision.reduce_range)
    onnx.save(graph, str(target), save_as_external_data=True, location=f"{target.name}.weights")


def _to_fp16(graph: onnx.ModelProto, definition: SparseDefinition | None) -> Any:
    """Convert to float16, except the end of a graph, from the logits to the answers.

    Inputs and outputs keep their types.
    """
    is_sparse = definition is not None and graph.graph.output[0].name == OUTPUTS[0]
    special: list[int] = []
    vocab_size: int | None
    if is_sparse:
        vocab_size, special = remove_sparse_outputs(graph)
    else:
        vocab_size = remove_topk_outputs(graph)
    converted = _float16(graph)
    if definition is not None and is_sparse and vocab_size is not None:
        add_sparse_outputs(converted, definition, vocab_size, special)
    elif vocab_size is not None:
        add_topk_outputs(converted, vocab_size)
    return converted


def _float16(graph: onnx.ModelProto) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(graph, keep_io_types=True, disable_shape_infer=True)
