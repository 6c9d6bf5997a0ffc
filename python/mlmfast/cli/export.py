"""`mlmfast export`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mlmfast.cli._command import ExampleCommand

if TYPE_CHECKING:
    from mlmfast.exporting.quantization.agreement import Agreement
    from mlmfast.exporting.report import ExportReport, GraphReport


@click.command(
    "export",
    cls=ExampleCommand,
    example="""
    mlmfast export model/ onnx/
    mlmfast export model/ onnx-int8/ --precision int8 --calibration sentences.txt
    """,
)
@click.argument("checkpoint")
@click.argument("output", type=click.Path(file_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT where an export wrote it.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "int8-block"]),
    default="fp32",
    show_default=True,
    help="fp16 is for GPUs, int8 for CPUs with VNNI; int8-block is slower than int8, and no answer "
    "depends on the texts beside it.",
)
@click.option(
    "--calibration",
    type=click.Path(),
    help="Judge a lower precision on this file, one text a line.  [default: built-in sentences]",
)
@click.option(
    "--min-agreement",
    type=float,
    default=0.9,
    show_default=True,
    help="Smallest share of masks at which a lower precision finds float32's best token.",
)
@click.option("--reduce-range", is_flag=True, help="int8 for CPUs without VNNI: seven bits.")
@click.option("--opset", type=int, help="ONNX operator set, 14 to 21.  [default: Optimum's, or 17]")
@click.option(
    "--max-difference",
    type=float,
    default=1e-4,
    show_default=True,
    help="Largest |ONNX - PyTorch| that passes, as a share of the largest |logit|.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(
    checkpoint: str,
    output: str,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Write CHECKPOINT, a folder or a Hub name, as the ONNX folder OUTPUT.

    It holds model.onnx, by Optimum where Optimum knows the type, and fill_mask.onnx, which computes
    the masked positions only. Both are run beside PyTorch at several batch sizes and lengths, and
    OUTPUT appears only where all give the same.
    """
    from mlmfast.exporting.export import export

    if not (quiet or as_json):
        click.echo(f"Exporting {checkpoint}: about a minute for a base-sized model ...", err=True)
    report = export(checkpoint, output, **options)
    if as_json:
        click.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    elif not quiet:
        click.echo(describe(report))


def describe(report: ExportReport) -> str:
    """Write the report for people."""
    lines = [
        f"{report.checkpoint} -> {report.output}",
        f"  {report.model_type}, {report.parameters:,} parameters, {report.precision}",
        "",
        "Files",
        *(f"  {name:26} {size / 1e6:10,.2f} MB" for name, size in report.files.items()),
        *(line for name, graph in report.graphs.items() for line in _graph(name, graph)),
        *(_judged(report.precision, report.judgement) if report.judgement else ()),
        "",
        f"Exported in {report.export_seconds:.1f} s, compared in {report.compare_seconds:.1f} s.",
        f'Next: mlmfast fill-mask {report.output} "A text with {report.mask_token} in it."',
    ]
    return "\n".join(lines)


def _graph(name: str, graph: GraphReport) -> list[str]:
    total = sum(graph.operators.values())
    lines = [
        "",
        f"{name}, written by {graph.exporter}, ONNX opset {graph.opset}",
        f"  {total} operators run, {graph.fused_operators} of them fused by onnxruntime",
    ]
    if graph.remark:
        lines.append(f"  {graph.remark}")
    if graph.head:
        last = f", with {graph.last_layer} matrix products of the last layer"
        lines.append(f"  the head runs on {graph.head}{last if graph.last_layer else ''}")
    lines.append("  against PyTorch, batch x tokens: largest difference, allowed, same top-1")
    lines += [
        f"    {result!s:30} {result.difference:8.1e} {result.limit:8.1e} "
        f"{result.top1_agreement:8.1%}"
        for result in graph.comparisons
    ]
    return lines


def _judged(precision: str, found: Agreement) -> list[str]:
    texts = f"{found.texts:,} {'built-in sentences' if found.built_in else 'texts'}"
    same, sure = found.top1_agreement, found.sure_top1_agreement
    mean, largest = found.mean_shift, found.largest_shift
    return [
        "",
        f"{precision} against float32, {found.masks:,} masks in {texts}",
        f"  same best token {same:.1%}; {sure:.1%} of {found.sure_masks:,} where 0.02 ahead",
        f"  its probability moves by {mean:.4f} on average, by {largest:.4f} at most",
    ]
