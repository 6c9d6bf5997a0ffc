"""The one pass from text to block stores, behind `prepare`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlmfast.data.atomic import replacing
from mlmfast.data.prepare_options import PrepareOptions, PrepareReport, counted
from mlmfast.data.sources import open_sources, read_texts
from mlmfast.data.sources.base import ReadOptions, Source
from mlmfast.data.split_writer import SplitWriter, grouping
from mlmfast.data.splits import in_test
from mlmfast.data.store import is_store_folder, open_splits
from mlmfast.data.tokenizer_files import LoadedTokenizer, load_tokenizer, with_mask_token
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def run_prepare(inputs: Any, output: str | Path, options: PrepareOptions) -> PrepareReport:
    """Turn text into a block store, or one a split, and report on it.

    Args:
        inputs: As `mlmfast.data.prepare.prepare` takes them.
        output: The folder to write.
        options: Everything else.

    Raises:
        InputError: A text cannot be used, or there is not one block of text.
        NotFoundError: A file, a data set or the tokenizer is not there.
        OutputExistsError: `output` is there already.
    """
    began = time.perf_counter()
    output = Path(output)
    report = PrepareReport(output)
    with replacing(output, overwrite=options.overwrite, is_ours=is_store_folder) as folder:
        tokenizer = _usable_tokenizer(options, report)
        sources = open_sources(
            inputs,
            format=options.format,
            split=options.split,
            dataset_name=options.dataset_name,
            dataset_config=options.dataset_config,
        )
        _not_within(sources, output)
        names = ["train"] if options.test_size is None else ["train", "test"]
        splits = {
            name: SplitWriter(
                name, folder if len(names) == 1 else folder / name, tokenizer, options
            )
            for name in names
        }
        reading = ReadOptions(options.text_column, options.on_invalid_utf8)
        with _progress(sources, enabled=options.progress) as advance:
            for test, texts in _documents(sources, reading, options, report):
                splits["test" if test else "train"].add(texts)
                advance()
        report.replaced, report.skipped = reading.replaced, reading.skipped
        report.null -= reading.skipped
        _check_enough(splits, report, options)
        origin = _origin(sources, options)
        for split in splits.values():
            split.close(origin)
            report.tokens += split.writer.tokens
            report.documents += split.documents
            report.text_bytes += split.text_bytes
        if len(names) > 1:
            (folder / "dataset_dict.json").write_text(json.dumps({"splits": names}))
    report.stores = open_splits(output)
    report.dropped_tokens = sum(store.manifest.dropped_tokens for store in report.stores.values())
    report.seconds = time.perf_counter() - began
    return report


def _documents(
    sources: list[Source], reading: ReadOptions, options: PrepareOptions, report: PrepareReport
) -> Iterator[tuple[bool, pa.Array]]:
    """Yield (is it for the test split, documents without nulls), and count what is left out."""
    number = 0
    for batch in read_texts(sources, reading):
        texts = batch if options.limit is None else batch.slice(0, options.limit - number)
        test = np.zeros(len(texts), bool)
        if options.test_size is not None:
            test = in_test(number, len(texts), test_size=options.test_size, seed=options.seed)
        number += len(texts)
        report.null += texts.null_count
        keep = texts.is_valid()
        empty = pc.fill_null(pc.equal(pc.binary_length(texts), 0), False)
        report.empty += pc.sum(empty).as_py() or 0
        if options.drop_empty:
            keep = pc.and_not(keep, empty)
        for wanted in (False, True):
            chosen = texts.filter(pc.and_(keep, pa.array(test == wanted)))
            if len(chosen):
                yield wanted, chosen
        if number == options.limit:
            return


def _usable_tokenizer(options: PrepareOptions, report: PrepareReport) -> LoadedTokenizer:
    tokenizer = load_tokenizer(options.tokenizer)
    if options.add_mask_token is not None:
        tokenizer = with_mask_token(tokenizer, options.add_mask_token)
    if tokenizer.mask_token_id is None:
        raise InputError(
            f"The tokenizer {tokenizer.name!r} has no mask token, so no masked language model can "
            "be trained with it. Add one with --add-mask-token '<mask>' "
            "(add_mask_token='<mask>'), or train a tokenizer with `mlmfast train-tokenizer`."
        )
    grouping(tokenizer, options)  # says what is missing before anything is read
    longest = tokenizer.model_max_length
    if longest is not None and options.block_size > longest:
        report.warnings.append(
            f"Blocks of {options.block_size} tokens are longer than the {longest} that the "
            f"tokenizer {tokenizer.name!r} was made for; a model with that many positions cannot "
            "be trained on them."
        )
    return tokenizer


def _check_enough(
    splits: dict[str, SplitWriter], report: PrepareReport, options: PrepareOptions
) -> None:
    """Raise InputError unless every split has a block at least."""
    documents = sum(split.documents for split in splits.values())
    tokens = sum(split.writer.tokens for split in splits.values())
    if not tokens:
        left_out = report.null + report.skipped + (report.empty if options.drop_empty else 0)
        said = f" ({left_out:,} null, empty or invalid ones were left out)" if left_out else ""
        raise InputError(
            f"There is no text in the input: {counted(documents, 'document')}{said} gave no token."
        )
    padded = options.remainder == "pad" or options.packing == "best_fit"
    needed = 1 if padded else next(iter(splits.values())).writer.room
    ways = "a smaller --block-size, " + ("" if needed == 1 else "--remainder pad, ")
    for split in splits.values():
        if split.writer.tokens >= needed:
            continue
        if len(splits) == 1:
            raise InputError(
                f"{counted(documents, 'document')} gave {counted(tokens, 'token')}, which is "
                f"less than one block of {options.block_size}. Use {ways}or more text."
            )
        raise InputError(
            f"The {split.name} split got {split.documents:,} of {documents:,} documents and "
            f"{split.writer.tokens:,} of {tokens:,} tokens, which is less than one block of "
            f"{options.block_size}. Use {ways}another --test-size than {options.test_size}, "
            "or more text."
        )


def _not_within(sources: list[Source], output: Path) -> None:
    """Refuse to replace the folder that the text is read from."""
    for source in sources:
        path = Path(source.name).resolve()
        if path.exists() and path.is_relative_to(output.resolve()):
            raise InputError(
                f"The input {source.name!r} lies in the output {str(output)!r}, which would be "
                "replaced. Choose another output."
            )


def _origin(sources: list[Source], options: PrepareOptions) -> dict[str, Any]:
    return {
        "inputs": [source.name for source in sources],
        "text_column": options.text_column,
        "dataset_split": options.split,
        "limit": options.limit,
        "test_size": options.test_size,
        "seed": options.seed,
        "on_invalid_utf8": options.on_invalid_utf8,
        "drop_empty": options.drop_empty,
    }


@contextmanager
def _progress(sources: list[Source], *, enabled: bool) -> Iterator[Callable[[], None]]:
    """Show how far reading has come; yield the function that moves the bar on."""
    from tqdm import tqdm

    sizes = [source.size for source in sources]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    # None: no bar where standard error is no terminal.
    with tqdm(
        total=total,
        unit="B",
        unit_scale=True,
        desc="prepare",
        disable=None if enabled else True,
    ) as bar:

        def advance() -> None:
            bar.update(sum(source.position for source in sources) - bar.n)

        yield advance
