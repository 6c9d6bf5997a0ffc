"""Export a checkpoint to an ONNX folder, whose graphs are compared with PyTorch."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlmfast.errors import InputError, MissingDependencyError, first_sentence
from mlmfast.exporting.checkpoint import (
    load_checkpoint,
    quiet,
    require_checkpoint_folder,
)
from mlmfast.exporting.quantization.calibration import read_texts
from mlmfast.exporting.report import EXPORTERS, PACKAGES, ExportReport, is_exported_folder
from mlmfast.exporting.sparse.definition import read_definition
from mlmfast.fs.atomic import atomic_output_dir
from mlmfast.options import check_choice
from mlmfast.runtime.versions import installed_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

# Operator sets in which torch's tracer can write attention.
_OPSETS = range(14, 22)
_TASKS = ("fill-mask", "sparse")


def export(
    checkpoint: str | Path,
    output: str | Path,
    *,
    task: str = "fill-mask",
    exporter: str = "mlmfast",
    overwrite: bool = False,
    precision: str = "fp32",
    calibration: str | Path | Sequence[str] | None = None,
    min_agreement: float = 0.9,
    reduce_range: bool = False,
    opset: int | None = None,
    max_difference: float = 1e-4,
    cuda_graphs: bool = False,
) -> ExportReport:
    """Export `checkpoint` to an ONNX folder, and verify that its graphs compute the same.

    The folder holds model.onnx, fill_mask.onnx, the weights of both in model.onnx_data,
    config.json, the tokenizer's files and export_report.json. Both `FillMask(output)` and
    Optimum's `ORTModelForMaskedLM.from_pretrained(output)` open it. It is written only if the
    comparison passes.

    Args:
        checkpoint: a folder or a Hub name of a masked language model.
        output: the folder to write.
        task: "fill-mask", or "sparse", which adds sparse.onnx for `SparseEncoder(output)`: texts to
            the weights of words, as SPLADE models are trained to give them. The pooling is that of
            the checkpoint's SpladePooling (the maximum where it names none), and the weights with
            which it encodes queries without the model are written into idf.json.
        exporter: what writes model.onnx: "mlmfast", its own tracing; "optimum", for which the extra
            `optimum` has to be installed; or "transformers", for `transformers.exporters`, which
            needs transformers 5.23 and onnxscript. The other graphs are always mlmfast's own.
        overwrite: replace an `output` that an earlier export wrote.
        precision: "fp32"; "fp16", for GPUs; "int8", for CPUs with VNNI or similar instructions;
            "int8-block", whose predictions do not depend on the other texts of a batch, as those
            of "int8" do.
        calibration: texts on which to measure a lower precision: a text file with a text on each
            line, or a list of texts; None: built-in sentences, most of them English.
        min_agreement: the smallest share of masks at which a lower precision must have the best
            token of float32; with the task "sparse", the smallest mean cosine of its vectors with
            those of float32.
        reduce_range: with "int8", weights of seven bits, for CPUs without VNNI, on which eight bits
            overflow.
        opset: ONNX operator set, 14 to 21 (mlmfast's own tracing stops at 20, and the exporter
            "transformers" begins at 18); None: 17 for mlmfast's own tracing, and for model.onnx by
            another exporter the one that it chooses.
        max_difference: the largest |ONNX - PyTorch| that passes, as a share of the largest |logit|
            at the compared shape, or of 1 if that is larger.
        cuda_graphs: also write fill_mask_fixed.onnx, for `FillMask(output, cuda_graphs=True)`; with
            the precisions fp32 and fp16. It shares the weights.

    Returns:
        The report that is also in export_report.json.

    Raises:
        NotFoundError: there is no such checkpoint.
        InputError: it is no masked language model with a fast tokenizer.
        MlmfastError: its model type cannot be exported.
        OutputExistsError: `output` exists.
        ExportMismatchError: a graph does not compute what the checkpoint computes.
        MissingDependencyError: PyTorch, transformers, onnx, onnxruntime or the exporter is not
            installed.
    """
    check_choice("task", task, _TASKS)
    check_choice("exporter", exporter, EXPORTERS)
    if opset is not None and opset not in _OPSETS:
        raise InputError(f"opset must lie between {_OPSETS[0]} and {_OPSETS[-1]}, and is {opset}.")
    source, definition = str(checkpoint), None
    if task == "sparse":
        definition = read_definition(source)
        if definition.prompts:
            logger.warning(
                "%s has prompts (%s), which sentence-transformers puts before texts and mlmfast "
                "does not: write them into the texts.",
                source,
                ", ".join(definition.prompts),
            )
        source = definition.location
    require_checkpoint_folder(source)
    _require_packages()
    from mlmfast.exporting.architectures import max_graph_length
    from mlmfast.exporting.fixed_graph import require_floats, write_fixed_graph
    from mlmfast.exporting.graphs import write_graphs
    from mlmfast.exporting.logits_graph import require_exporter
    from mlmfast.exporting.parity.logits import require_limit
    from mlmfast.exporting.parity.verify import verify
    from mlmfast.exporting.quantization.convert import Precision, quantize

    require_exporter(exporter, opset)
    require_limit(max_difference)
    if cuda_graphs:
        require_floats(precision)
    options = Precision(precision, reduce_range, read_texts(calibration), min_agreement)
    target = Path(output)
    with (
        atomic_output_dir(target, overwrite=overwrite, is_ours=is_exported_folder) as folder,
        quiet(),
    ):
        started = time.perf_counter()
        loaded = load_checkpoint(source)
        graphs = write_graphs(
            loaded, folder, opset, definition, exporter=exporter, split=precision == "fp32"
        )
        # As AutoTokenizer loaded it, so that serving reads the same tokenizer without it.
        loaded.tokenizer.save_pretrained(folder)
        ready = time.perf_counter()
        parity = verify(graphs.files, loaded, max_difference=max_difference, definition=definition)
        max_length = max_graph_length(loaded.model)
        judgement = None
        if precision != "fp32":  # verified in float32; the loss by rounding is measured on text
            judgement = quantize(
                graphs.files,
                loaded.tokenizer,
                options,
                max_length=max_length,
                definition=definition,
            )
        graphs.describe(precision, parity.padding_sensitive, max_length)
        if cuda_graphs:
            write_fixed_graph(folder, loaded, graphs.fused.vocab_size)
        report = ExportReport(
            checkpoint=str(checkpoint),
            output=target,
            model_type=loaded.model.config.model_type,
            parameters=loaded.model.num_parameters(),
            mask_token=loaded.tokenizer.mask_token,
            precision=precision,
            judgement=judgement.fill_mask if judgement else None,
            graphs=graphs.reports(precision, parity),
            padding_shows=parity.padding_sensitive,
            longest=max_length,
            files={file.name: file.stat().st_size for file in sorted(folder.iterdir())},
            max_difference=max_difference,
            export_seconds=round(ready - started, 3),
            compare_seconds=round(time.perf_counter() - ready, 3),
            versions=installed_versions(PACKAGES),
            sparse=graphs.sparse_report(judgement.sparse if judgement else None),
        )
        report.write(folder)
    return report


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401 - only to see whether it is installed
        import onnxruntime  # noqa: F401 - only to see whether it is installed
        import torch  # noqa: F401 - only to see whether it is installed
        import transformers  # noqa: F401 - only to see whether it is installed
    except ImportError as error:
        raise MissingDependencyError(
            "Exporting needs PyTorch, transformers, onnx and onnxruntime, and one of them cannot "
            f"be imported ({first_sentence(error)}) pip install 'mlmfast[export,cpu]' brings them."
        ) from error
