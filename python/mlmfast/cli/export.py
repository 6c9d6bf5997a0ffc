"""`mlmfast export`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mlmfast.cli.flags.command import ExampleCommand

if TYPE_CHECKING:
    from mlmfast.exporting.quantization.agreement import Agreement
    from mlmfast.exporting.report import ExportReport, GraphReport, SparseReport


@click.command(
    "export",
    cls=ExampleCommand,
    example="""
    mlmfast export model/ onnx/
    mlmfast export model/ onnx-int8/ --precision int8 --calibration sentences.txt
    mlmfast export splade/ onnx/ --task sparse
    """,
)
@click.argument("checkpoint")
@click.argument("output", type=click.Path(file_okay=False))
@click.option(
    "--task",
    type=click.Choice(["fill-mask", "sparse"]),
    default="fill-mask",
    show_default=True,
    help="sparse adds sparse.onnx: texts to the weights of words, for SPLADE models.",
)
@click.option(
    "--exporter",
    type=click.Choice(["mlmfast", "optimum", "transformers"]),
    default="mlmfast",
    show_default=True,
    help="What writes model.onnx: mlmfast itself, Optimum (pip install 'mlmfast[optimum]'), or "
    "transformers.exporters (transformers >= 5.23 with onnxscript).",
)
@click.option("--overwrite", is_flag=True, help="Replace an OUTPUT that an earlier export wrote.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "int8-block"]),
    default="fp32",
    show_default=True,
    help="fp16 is for GPUs, int8 for CPUs with VNNI; int8-block is slower than int8, and its "
    "predictions do not depend on the other texts of a batch.",
)
@click.option(
    "--calibration",
    type=click.Path(),
    help="Texts on which to measure a lower precision, one per line.  [default: built-in ones]",
)
@click.option(
    "--min-agreement",
    type=float,
    default=0.9,
    show_default=True,
    help="Smallest share of masks at which a lower precision must have float32's best token; with "
    "--task sparse, smallest mean cosine of its vectors with float32's.",
)
@click.option("--reduce-range", is_flag=True, help="int8 for CPUs without VNNI: seven bits.")
@click.option(
    "--opset", type=int, help="ONNX operator set, 14 to 21.  [default: 17, or the exporter's]"
)
@click.option(
    "--max-difference",
    type=float,
    default=1e-4,
    show_default=True,
    help="Largest |ONNX - PyTorch| that passes, as a share of the largest |logit|.",
)
@click.option(
    "--cuda-graphs",
    is_flag=True,
    help="Also write fill_mask_fixed.onnx, for fill-mask and serve --cuda-graphs.",
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
    """Export CHECKPOINT, a folder or a Hub name, to the ONNX folder OUTPUT.

    It holds model.onnx and fill_mask.onnx, which computes the masked positions only. Both are
    compared with PyTorch at several batch sizes and lengths, and OUTPUT is written only if all
    results agree. --task sparse adds a third graph, sparse.onnx.
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
    """Return the report as text."""
    lines = [
        f"{report.checkpoint} -> {report.output}",
        f"  {report.model_type}, {report.parameters:,} parameters, {report.precision}",
        "",
        "Files",
        *(f"  {name:26} {size / 1e6:10,.2f} MB" for name, size in report.files.items()),
        *(line for name, graph in report.graphs.items() for line in _graph(name, graph)),
        *(_agreement(report.precision, report.judgement) if report.judgement else ()),
        *(_sparse(report.precision, report.sparse) if report.sparse else ()),
        "",
        f"Exported in {report.export_seconds:.1f} s, compared in {report.compare_seconds:.1f} s.",
        f'Next: mlmfast embed-sparse {report.output} "A text."'
        if report.sparse
        else f'Next: mlmfast fill-mask {report.output} "A text with {report.mask_token} in it."',
    ]
    return "\n".join(lines)


def _graph(name: str, graph: GraphReport) -> list[str]:
    total = sum(graph.operators.values())
    lines = [
        "",
        f"{name}, written by {graph.exporter}, ONNX opset {graph.opset}",
        f"  {total} operators run, {graph.fused_operators} of them fused by onnxruntime",
    ]
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


def _agreement(precision: str, agreement: Agreement) -> list[str]:
    texts = f"{agreement.texts:,} {'built-in sentences' if agreement.built_in else 'texts'}"
    same, sure = agreement.top1_agreement, agreement.sure_top1_agreement
    mean, largest = agreement.mean_shift, agreement.largest_shift
    return [
        "",
        f"{precision} against float32, {agreement.masks:,} masks in {texts}",
        f"  same best token {same:.1%}; {sure:.1%} of {agreement.sure_masks:,} where 0.02 ahead",
        f"  its probability moves by {mean:.4f} on average, by {largest:.4f} at most",
    ]


def _sparse(precision: str, sparse: SparseReport) -> list[str]:
    twice = ", logarithm taken twice" if sparse.activation == "log1p_relu" else ""
    tables = {"table": "weights of their tokens in idf.json", "model": "the model"}
    lines = [
        "",
        f"Weights are the {sparse.pooling} over the tokens of a text{twice}",
        f"  queries are encoded by {tables[sparse.queries]}",
    ]
    found = sparse.judgement
    if found:
        texts = f"{found.texts:,} {'built-in sentences' if found.built_in else 'texts'}"
        lines += [
            f"  {precision} against float32, {texts} of {found.words:.0f} words on average",
            f"  same words {found.overlap:.1%}",
            f"  cosine {found.cosine:.4f} on average, at least {found.smallest_cosine:.4f}",
            f"  same most similar other text {found.same_nearest:.1%}",
        ]
    return lines
