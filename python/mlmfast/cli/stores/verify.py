"""`mlmfast verify`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from mlmfast.cli.flags.command import ExampleCommand
from mlmfast.errors import StoreError

if TYPE_CHECKING:
    from mlmfast.data.store.verification.report import VerifyReport


@click.command(
    "verify",
    cls=ExampleCommand,
    example="""
    mlmfast verify blocks/
    mlmfast verify s3://bucket/blocks --json
    """,
)
@click.argument("store")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
def command(store: str, as_json: bool, quiet: bool) -> None:
    """Read every byte of a block store, and compare it with the store's checksums.

    STORE is what `mlmfast prepare` or `convert --to store` wrote, with splits or without, or its
    URL. The exit status is 0 if it is intact, and 2 if a file has changed or is missing; each such
    file is named.

    Every command that opens a store checks its manifest, its tokenizer, and the sizes, headers and
    ends of its files. A flipped bit in between is found only by `verify`, `convert` and
    `mlmfast train --verify-store`.
    """
    from mlmfast.data.store.verification.verify import verify

    report = verify(store, progress=not quiet)
    if as_json:
        click.echo(json.dumps(report.as_dict(), ensure_ascii=False))
    elif not quiet and not report.damage:
        click.echo(_summary(report))
    if report.damage:
        raise StoreError("\n".join(report.damage))


def _summary(report: VerifyReport) -> str:
    blocks = " and ".join(f"{count:,} blocks ({name})" for name, count in report.blocks.items())
    return (
        f"Whole    {blocks} in {report.files:,} files, {report.bytes / 1e6:,.1f} MB read in "
        f"{report.seconds:,.1f} s"
    )
