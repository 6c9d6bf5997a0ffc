"""A checkpoint to an ONNX folder, written by Optimum and compared with PyTorch by us."""

from __future__ import annotations

import time
from pathlib import Path

from mlmfast.data.atomic import replacing
from mlmfast.errors import InputError, MissingDependencyError, MlmfastError
from mlmfast.exporting.checkpoint import (
    Checkpoint,
    first_sentence,
    load_checkpoint,
    quiet,
    require_checkpoint_folder,
)
from mlmfast.exporting.parity import compare, require_parity
from mlmfast.exporting.report import PACKAGES, ExportReport, is_exported_folder
from mlmfast.versions import installed_versions

GRAPH = "model.onnx"
# What torch's tracer can write a transformer's attention in.
OPSETS = range(14, 22)


def export(
    checkpoint: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    opset: int | None = None,
    max_difference: float = 1e-4,
) -> ExportReport:
    """Write `checkpoint` as an ONNX folder, and prove that it computes the same.

    The folder holds model.onnx, config.json, the tokenizer's files and export_report.json. Both
    `FillMask(output)` and Optimum's `ORTModelForMaskedLM.from_pretrained(output)` open it. It
    appears when the comparison has passed, or not at all.

    Args:
        checkpoint: a folder or a Hub name of a masked language model.
        output: the folder to write.
        overwrite: replace `output` where an earlier export wrote it.
        opset: ONNX operator set, 14 to 21; None: the one Optimum chooses for the model type.
        max_difference: the largest |ONNX - PyTorch| that passes, as a share of the largest |logit|
            of the shape that is compared, or of 1 where that is smaller.

    Raises:
        NotFoundError: there is no such checkpoint.
        InputError: it is no masked language model with a fast tokenizer, or Optimum cannot export
            its type.
        OutputExistsError: `output` is there already.
        ExportMismatchError: the graph computes something else.
        MissingDependencyError: Optimum, PyTorch or onnxruntime is not installed.
    """
    if opset is not None and opset not in OPSETS:
        raise InputError(f"opset must lie between {OPSETS[0]} and {OPSETS[-1]}, and is {opset}.")
    require_checkpoint_folder(str(checkpoint))
    _require_packages()
    target = Path(output)
    with replacing(target, overwrite=overwrite, is_ours=is_exported_folder) as folder, quiet():
        started = time.perf_counter()
        loaded = load_checkpoint(checkpoint)
        _write_graph(loaded, folder, opset)
        # What AutoTokenizer made of the files, so that serving without it reads the same tokenizer.
        loaded.tokenizer.save_pretrained(folder)
        written = time.perf_counter()
        comparisons = compare(folder / GRAPH, loaded, max_difference=max_difference)
        require_parity(comparisons)
        report = ExportReport(
            checkpoint=str(checkpoint),
            output=target,
            model_type=loaded.model.config.model_type,
            parameters=loaded.model.num_parameters(),
            mask_token=loaded.tokenizer.mask_token,
            opset=_opset(folder / GRAPH),
            files={file.name: file.stat().st_size for file in sorted(folder.iterdir())},
            comparisons=tuple(comparisons),
            max_difference=max_difference,
            export_seconds=round(written - started, 3),
            compare_seconds=round(time.perf_counter() - written, 3),
            versions=installed_versions(PACKAGES),
        )
        report.write(folder)
    return report


def _require_packages() -> None:
    try:
        import onnxruntime  # noqa: F401 - only whether it is there
        import optimum.exporters.onnx  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise MissingDependencyError(
            "Exporting needs Optimum, PyTorch and onnxruntime, and one of them cannot be imported "
            f"({first_sentence(error)}) pip install 'mlmfast[export,cpu]' brings them."
        ) from error


def _write_graph(checkpoint: Checkpoint, folder: Path, opset: int | None) -> None:
    from optimum.exporters.onnx import main_export

    try:
        main_export(
            checkpoint.name,
            folder,
            task="fill-mask",
            # Named, because a sentence-transformers folder would be taken for another task.
            library_name="transformers",
            opset=opset,
            do_validation=False,
        )
    except (ValueError, KeyError) as error:
        raise InputError(
            f"Optimum cannot export {checkpoint.name} (of the type "
            f"{checkpoint.model.config.model_type}): {first_sentence(error)}"
        ) from error
    except (RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
        raise MlmfastError(
            f"Optimum's export of {checkpoint.name} failed: {first_sentence(error)}"
        ) from error
    if not (folder / GRAPH).is_file():
        names = ", ".join(sorted(file.name for file in folder.glob("*.onnx"))) or "no graph"
        raise InputError(
            f"Optimum wrote {names} for {checkpoint.name} instead of one {GRAPH}: only encoders "
            "can be served."
        )


def _opset(graph: Path) -> int:
    import onnx

    model = onnx.load(str(graph), load_external_data=False)
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
