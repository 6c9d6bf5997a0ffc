"""How time and memory grow from 1 M to 1,000 M tokens, ours and the peers', each one alone.

MLMFAST_BENCH_TOKENS=10_000_000 stops at that size: enough to see that everything runs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import harness
import recipes
import scaling_input
from alone import ContenderStoppedError, measure, read_once
from scaling_cell import Cell

SIZES = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
BUDGET = 60.0  # seconds a call
BATCHES = 7  # what one million tokens give
OURS, OURS_BEST_FIT = "mlmfast", "mlmfast, best_fit"
OURS_LOADER = "mlmfast.BlockLoader, prefetch=2"
GROUPING = {
    "the guide (sum of lists, in map)": OURS,
    "run_mlm.py (chain, in map)": OURS,
    "TRL pack_dataset, wrapped": OURS,
    "bare pyarrow": OURS,
    OURS: OURS,
    "TRL pack_dataset, bfd_split": OURS_BEST_FIT,
    OURS_BEST_FIT: OURS_BEST_FIT,
}
"""What each is compared with: best fit keeps documents whole, which is other work."""
LOADING = {
    "DataLoader + HF collator, lists, 0 workers": OURS_LOADER,
    "DataLoader + HF collator, torch format, 0 workers": OURS_LOADER,
    "DataLoader + MaskedBlocks, 0 workers": OURS_LOADER,
    OURS_LOADER: OURS_LOADER,
}
OURS_ALL = {OURS, OURS_BEST_FIT, OURS_LOADER, "DataLoader + MaskedBlocks, 0 workers"}
SHORT = {
    "the guide (sum of lists, in map)": "the guide",
    "run_mlm.py (chain, in map)": "run_mlm.py",
    "TRL pack_dataset, wrapped": "TRL wrapped",
    "TRL pack_dataset, bfd_split": "TRL bfd_split",
    "DataLoader + HF collator, lists, 0 workers": "HF collator, lists",
    "DataLoader + HF collator, torch format, 0 workers": "HF collator, torch",
    "DataLoader + MaskedBlocks, 0 workers": "MaskedBlocks",
    OURS_LOADER: "BlockLoader",
}
"""Names for the picture."""
Input = tuple[int, Path, int]  # tokens by name, where, tokens that a call gets done
PICTURE = Path(__file__).with_name("scaling.svg")


def alone(label: str, path: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """One contender's call on a little of the input, and on all of it."""
    return _loading(label, path) if label in LOADING else _grouping(label, path)


def _grouping(label: str, path: str) -> tuple[Callable[[], object], Callable[[], object]]:
    import mlmfast

    on_columns: dict[str, Callable] = {
        "bare pyarrow": recipes.bare_pyarrow,
        OURS: lambda column: mlmfast.group_blocks(column, recipes.BLOCK),
        OURS_BEST_FIT: lambda column: mlmfast.group_blocks(
            column, recipes.BLOCK, packing="best_fit", pad_id=0
        ),
    }
    if label in on_columns:
        table = scaling_input.mapped_table(Path(path))
        read_once(table)
        column = table["input_ids"]
        # Two chunks, as the whole has several: another path than that of one.
        some = column.slice(len(column.chunk(0)) - 50, 100)
        return lambda: on_columns[label](some), lambda: on_columns[label](column)

    import datasets

    on_datasets: dict[str, Callable] = {
        "the guide (sum of lists, in map)": lambda d: recipes.mapped(recipes.sum_form, d),
        "run_mlm.py (chain, in map)": lambda d: recipes.mapped(recipes.chain_form, d),
        "TRL pack_dataset, wrapped": lambda d: recipes.trl_packed(d, "wrapped"),
        "TRL pack_dataset, bfd_split": lambda d: recipes.trl_packed(d, "bfd_split"),
    }
    data = datasets.Dataset.from_file(path)
    read_once(data.data.table)
    few = data.select(range(100))
    return lambda: on_datasets[label](few), lambda: on_datasets[label](data)


def _loading(label: str, path: str) -> tuple[Callable[[], object], Callable[[], object]]:
    import bench_loader

    blocks, rows = bench_loader.opened(Path(path))
    small = bench_loader.contenders(blocks, rows, batch=2, batches=1)
    large = bench_loader.contenders(blocks, rows, batches=BATCHES)
    return harness.named(label, small).run, harness.named(label, large).run


def _series(label: str, inputs: list[Input]) -> list[Cell]:
    """The contender at each size, up to the one that would take too long by its last time."""
    cells: list[Cell] = []
    last: Cell | None = None
    stopped = ""
    for size, path, work in inputs:
        expected = last.measured.seconds * work / last.work if last and last.measured else 0.0
        if stopped:
            cells.append(Cell(size, label, work, None, stopped))
        elif expected > BUDGET:
            why = f"not run: about {expected / 60:,.0f} min"
            cells.append(Cell(size, label, work, None, why))
        else:
            try:
                found = measure("bench_scaling", label, str(path), timeout=5 * BUDGET)
                last = Cell(size, label, work, found)
                cells.append(last)
            except ContenderStoppedError as reason:
                cells.append(Cell(size, label, work, None, str(reason)))
                stopped = "not run"
        print(f"{size:>13,} {label}: {cells[-1].measured or cells[-1].why}", file=sys.stderr)
    return cells


def _table(cells: list[Cell], beside: dict[str, str]) -> list[str]:
    """A Markdown table, size by size, each contender beside ours at that size."""
    found = {(cell.size, cell.label): cell.measured for cell in cells}
    lines = [
        "| tokens | | seconds | Mtokens/s | peak MB | ours is |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for cell in sorted(cells, key=lambda cell: (cell.size, list(beside).index(cell.label))):
        ours = found[cell.size, beside[cell.label]]
        label = f"**{cell.label}**" if cell.label in OURS_ALL else cell.label
        if cell.measured is None:
            shown = [cell.why, "", "", ""]
        else:
            seconds = cell.measured.seconds
            ratio = f"{seconds / ours.seconds:,.2f}x" if ours else ""
            shown = [
                harness.number(seconds),
                _digits(cell.work / seconds / 1e6),
                _digits(cell.measured.peak / 1e6),
                "" if cell.label == beside[cell.label] else ratio,
            ]
        lines.append("| " + " | ".join([f"{cell.size // 10**6:,} M", label, *shown]) + " |")
    return lines


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def main() -> list[str]:
    """Run the measurements and draw the picture; the lines of the report."""
    # Only this process needs them, which measures nothing itself.
    import bench_loader
    import scaling_plot

    most = int(os.environ.get("MLMFAST_BENCH_TOKENS", SIZES[-1]))
    grouping: list[Input] = []
    loading: list[Input] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in [size for size in SIZES if size <= most]:
            path = scaling_input.documents_file(Path(folder), size)
            tokens = scaling_input.tokens_of(path)
            grouping.append((size, path, tokens))
            store = scaling_input.store_folder(Path(folder), path)
            loading.append((size, store, BATCHES * bench_loader.BATCH * scaling_input.LENGTH))
        grouped = [cell for label in GROUPING for cell in _series(label, grouping)]
        loaded = [cell for label in LOADING for cell in _series(label, loading)]
    scaling_plot.draw(
        PICTURE,
        {
            f"Grouping into blocks of {recipes.BLOCK}": scaling_plot.lines(
                grouped, OURS_ALL, SHORT
            ),
            f"Loading {BATCHES} shuffled, masked batches": scaling_plot.lines(
                loaded, OURS_ALL, SHORT
            ),
        },
    )
    method = (
        "Each contender at each size in a process of its own, one after the other: the median of "
        "its calls within two seconds (at least one, after a first), and the most resident memory "
        "that the first call adds. The input is a memory-mapped file of which every page "
        "was read before; results stay in memory. A contender whose next size would take more "
        f"than {BUDGET:.0f} s by its last time is not run there."
    )
    about_grouping = (
        f"Grouping uint16 documents of log-normal length, in {scaling_input.CHUNKS} chunks, into "
        f"blocks of {recipes.BLOCK}; `bfd_split` stands beside our `best_fit`, the others beside "
        "our concatenation:"
    )
    about_loading = (
        f"Loading: the first {BATCHES} masked batches of {bench_loader.BATCH} x "
        f"{scaling_input.LENGTH} of a shuffled epoch, from a store of so many tokens:"
    )
    return [
        "## Scaling: time and peak memory from 1 M to 1,000 M tokens (`benches/bench_scaling.py`)",
        "",
        method,
        "",
        f"![Time and peak memory over tokens, log-log]({PICTURE.name})",
        "",
        about_grouping,
        "",
        *_table(grouped, GROUPING),
        "",
        about_loading,
        "",
        *_table(loaded, LOADING),
    ]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main()))
