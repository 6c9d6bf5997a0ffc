"""Checks of `prepare`, before it reads and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.report import PrepareReport, counted
from mlmfast.data.prepare.shuffle import expected_text
from mlmfast.data.prepare.split_writer import group_options
from mlmfast.data.sources.base import ReadOptions, Source
from mlmfast.data.sources.document_files import DocumentFiles
from mlmfast.data.sources.files import FileSource
from mlmfast.data.sources.formats import WITHOUT_COLUMNS
from mlmfast.data.sources.group_column import refuse_group_column
from mlmfast.data.tokenization.added_tokens import read_tokens, with_mask_token, with_tokens
from mlmfast.data.tokenization.encoder import MIN_BYTES_FOR_CORE
from mlmfast.data.tokenization.load import LoadedTokenizer, load_tokenizer
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.prepare.split_writer import SplitWriter


# Unknown tokens are counted in so many blocks of a store; from this share on there is a warning.
_COUNTED_BLOCKS = 1024
_MUCH_UNKNOWN = 0.1


def load_and_check_tokenizer(options: PrepareOptions, report: PrepareReport) -> LoadedTokenizer:
    """Load the tokenizer of `options`; add warnings about it to the report.

    Raises:
        InputError: It lacks a token that is needed.
        NotFoundError: It does not exist.
    """
    tokenizer = load_tokenizer(options.tokenizer)
    if options.add_mask_token is not None:
        tokenizer = with_mask_token(tokenizer, options.add_mask_token)
    if options.add_tokens:
        tokenizer = with_tokens(tokenizer, read_tokens(options.add_tokens))
    if tokenizer.mask_token_id is None:
        raise InputError(
            f"The tokenizer {tokenizer.name!r} has no mask token, so no masked language model can "
            "be trained with it. Add one with --add-mask-token '<mask>' "
            "(add_mask_token='<mask>'), or train a tokenizer with `mlmfast train-tokenizer`."
        )
    group_options(tokenizer, options)  # raises an error before anything is read
    longest = tokenizer.model_max_length
    if longest is not None and options.block_size > longest:
        report.warnings.append(
            f"Blocks of {options.block_size} tokens are longer than the {longest} that the "
            f"tokenizer {tokenizer.name!r} was made for; a model with that many positions cannot "
            "be trained on them."
        )
    return tokenizer


def check_split_sizes(
    splits: dict[str, SplitWriter], report: PrepareReport, options: PrepareOptions
) -> None:
    """Raise InputError unless every split has at least one block."""
    documents = sum(split.documents for split in splits.values())
    tokens = sum(split.writer.tokens for split in splits.values())
    if not tokens:
        left_out = report.null + report.skipped + (report.empty if options.drop_empty else 0)
        note = f" ({left_out:,} null, empty or invalid ones were left out)" if left_out else ""
        if any(report.filtered.values()):
            rules = ", ".join(f"{rule} {n:,}" for rule, n in report.filtered.items() if n)
            note += f" (the filters left out {sum(report.filtered.values()):,}: {rules})"
        raise InputError(
            f"There is no text in the input: {counted(documents, 'document')}{note} gave no token."
        )
    padded = options.remainder == "pad" or options.packing != "concat"
    needed = 1 if padded else next(iter(splits.values())).writer.capacity
    ways = "a smaller --block-size, " + ("" if needed == 1 else "--remainder pad, ")
    another_draw = "" if options.test_by is None else "another --seed, "
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
            f"{another_draw}or more text."
        )


def warn_of_unknown(tokenizer: LoadedTokenizer, report: PrepareReport) -> None:
    """Add a warning if much of the text is the unknown token, which teaches a model nothing.

    A sample of evenly spaced blocks is counted.
    """
    unknown = tokenizer.tokens.get("unk_token")
    unknown_id = None if unknown is None else tokenizer.tokenizer.token_to_id(unknown)
    if unknown_id is None:
        return
    others = [special for special in tokenizer.special_ids if special != unknown_id]
    unknown_tokens = text_tokens = 0
    for store in report.stores.values():
        rows = np.unique(np.linspace(0, len(store) - 1, _COUNTED_BLOCKS).astype(int))
        ids = store[rows]
        unknown_tokens += int((ids == unknown_id).sum())
        text_tokens += int(ids.size - np.isin(ids, others).sum())
    share = unknown_tokens / text_tokens if text_tokens else 0.0
    if share >= _MUCH_UNKNOWN:
        report.warnings.append(
            f"{100 * share:.0f} % of the tokens are the unknown token {unknown!r}: the vocabulary "
            f"of {tokenizer.name!r} does not fit this text. Take another tokenizer, or train one "
            "with `mlmfast train-tokenizer`."
        )


def check_not_within(sources: list[Source], output: Path) -> None:
    """Raise InputError if the output would replace the folder that the text is read from."""
    for source in sources:
        names = {source.name}
        if isinstance(source, DocumentFiles):
            names = {str(Path(file).parent) for file in source.files}
        for path in (Path(name).resolve() for name in names):
            if path.exists() and path.is_relative_to(output.resolve()):
                raise InputError(
                    f"The input {source.name!r} lies in the output {str(output)!r}, which would "
                    "be replaced. Choose another output."
                )


def check_columns(sources: list[Source], reading: ReadOptions) -> None:
    """Raise InputError if documents are to be grouped, but a file has no columns."""
    for source in sources:
        if isinstance(source, FileSource | DocumentFiles) and source.kind in WITHOUT_COLUMNS:
            refuse_group_column(source.name, source.kind, reading)


def is_small_input(sources: list[Source]) -> bool:
    """Whether the inputs are so small that preparing the fast encoder takes longer than it saves.

    It depends on the inputs alone, so that a resumed run decides the same.
    """
    known = all(source.text_size is not None for source in sources)
    return known and expected_text(sources) < MIN_BYTES_FOR_CORE
