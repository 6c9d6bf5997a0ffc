"""The sources of a mixture, for model card and report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmfast.training.evaluation.metrics import Evaluation
    from mlmfast.training.fit import TrainResult


def sources_table(result: TrainResult) -> str:
    """Return a Markdown table with what was read of each source; empty without a mixture."""
    if not result.sources:
        return ""
    rows = [
        "| source | share | blocks | read | times | perplexity before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    for source in result.sources:
        before, after = (
            _perplexity(one, source.name) or "" for one in (result.before, result.after)
        )
        rows.append(
            f"| `{source.path}` | {source.probability:.2%} | {source.blocks:,} | {source.read:,} | "
            f"{source.epochs:.2f} | {before} | {after} |"
        )
    return "\n\nThe blocks were drawn from a mixture:\n\n" + "\n".join(rows)


def describe_sources(result: TrainResult) -> Iterator[tuple[str, str]]:
    """Yield the name of each source, and what was read and measured of it."""
    for source in result.sources:
        text = (
            f"{source.probability:.2%}, {source.read:,} blocks of {source.path} "
            f"({source.epochs:.2f} epochs of {source.blocks:,})"
        )
        after = _perplexity(result.after, source.name)
        before = _perplexity(result.before, source.name)
        if after is not None:
            text += f"; perplexity {after}" + (f", before {before}" if before else "")
        yield source.name, text


def _perplexity(evaluation: Evaluation | None, source: str) -> str | None:
    part = ((evaluation.sources if evaluation else None) or {}).get(source)
    return None if part is None else f"{part.perplexity:,.2f}"
