"""Text to training blocks, as run_mlm.py makes them."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import transformers

from mlmfast.data.arrow_text import UnknownColumnError
from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.prepare.cache import prepare_cached
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.sources.byte_streams.streams import STDIN
from mlmfast.data.sources.formats import format_of, is_archive_name
from mlmfast.data.sources.hub import arrow_stream, is_dataset_folder, load_dataset_splits
from mlmfast.data.sources.mds.shards import is_mds_folder
from mlmfast.data.sources.patterns import is_pattern
from mlmfast.data.store.folder import is_store_folder
from mlmfast.data.store.store import BlockStore
from mlmfast.data.tokenization.added_tokens import with_tokens
from mlmfast.data.tokenization.load import LoadedTokenizer, load_tokenizer
from mlmfast.errors import InputError, NotFoundError
from mlmfast.fs.paths import as_path, is_stray
from mlmfast.fs.remote.listing import is_url_pattern
from mlmfast.fs.remote.urls import is_url, url_path
from mlmfast.training.model.load import load_config
from mlmfast.training.model.positions.input_length import limits_of, limits_of_config, longest_block
from mlmfast.training.model.positions.lengthen import change_positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.training.options.length import LengthOptions
    from mlmfast.training.options.run_mlm import RunMlmOptions

logger = logging.getLogger(__name__)

# Percent of the documents, as in run_mlm.py.
_HELD_OUT = 5


def is_blocks(data: Any) -> bool:
    """Return whether DATA is a block store or a mixture, or a name that can only be a store."""
    if isinstance(data, BlockStore | Mixture):
        return True
    if not isinstance(data, str | Path):
        return False
    if is_url(data):
        at = url_path(str(data))
        is_text = format_of(at) or is_archive_name(at) or is_url_pattern(str(data))
        return not is_text
    path = as_path(data, home=True)
    if str(data) == STDIN:
        return False
    if path.is_dir():
        return is_store_folder(path)
    return not path.exists() and format_of(path) is None and not is_pattern(str(data))


def check_one_source(data: Any, options: RunMlmOptions, *, evaluates_text: bool = False) -> None:
    """Raise InputError unless exactly one option names what to train on.

    Args:
        data: a store or a text; None if `options` name the text.
        options: the flags of run_mlm.py.
        evaluates_text: whether they are about the text of an evaluation, too.
    """
    names = {"DATA": data, "train_file": options.train_file, "dataset_name": options.dataset_name}
    given = [name for name, value in names.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} both name what to train on: give one of them.")
    if not given:
        only = " (validation_file is for the evaluation)" if options.validation_file else ""
        raise InputError(
            f"There is nothing to train on{only}: give DATA (a block store or text), "
            "--train-file or --dataset-name."
        )
    if data is None or not is_blocks(data):
        return
    if text_only := options.text_only_options(evaluates_text=evaluates_text):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in text_only)
        raise InputError(
            f"{flags}: for text that is still to be prepared, but DATA is a block store. Give "
            "these to `mlmfast prepare`, or the text in place of the blocks."
        )


def prepare_text(
    data: Any,
    options: RunMlmOptions,
    *,
    model: str | Path | None,
    quiet: bool,
    add_tokens: Sequence[str] = (),
    length: LengthOptions | None = None,
) -> dict[str, BlockStore]:
    """Prepare the blocks of a text, or open those in the cache.

    Args:
        data: files, folders, tables; None if `options` name the text.
        options: the flags of run_mlm.py.
        model: the checkpoint whose tokenizer is used unless `options` name one.
        quiet: show no progress.
        add_tokens: words to add to the tokenizer as tokens.
        length: changes to the positions of the model.

    Returns:
        The stores `train` and, if there is an evaluation split, `test`.

    Raises:
        InputError: text, tokenizer or options cannot be used.
        NotFoundError: a file, a data set or the tokenizer does not exist.
    """
    prepare = partial(
        _prepare, data, model=model, quiet=quiet, add_tokens=add_tokens, length=length
    )
    try:
        return prepare(options)
    except UnknownColumnError as error:
        if options.text_column is not None or not error.text_columns or _is_read_once(data):
            raise
        column = error.text_columns[0]
        logger.info("there is no column text: the first one that holds text is taken, %s", column)
        return prepare(replace(options, text_column=column))


def _is_read_once(data: Any) -> bool:
    """Whether text is a stream, which can be opened only once."""
    listed = data if isinstance(data, list | tuple) else [data]
    return any(
        hasattr(one, "__arrow_c_stream__") and not hasattr(one, "column_names") for one in listed
    )


def _prepare(
    data: Any,
    options: RunMlmOptions,
    *,
    model: str | Path | None,
    quiet: bool,
    add_tokens: Sequence[str],
    length: LengthOptions | None,
) -> dict[str, BlockStore]:
    tokenizer = with_tokens(tokenizer_of(options, model), add_tokens)
    given = text_options(
        options, tokenizer, options.config_name or model, quiet=quiet, length=length
    )
    train, validation = _texts(data, options)
    share = options.validation_split_percentage
    share = _HELD_OUT if share is None else share
    held_out = share / 100 if validation is None and share else None
    stores = make_blocks(train, given, options, test_size=held_out)
    if validation is not None:
        stores = {**stores, "test": make_blocks(validation, given, options)["train"]}
    return stores


def text_options(
    options: RunMlmOptions,
    tokenizer: LoadedTokenizer,
    model: str | Path | None,
    *,
    quiet: bool,
    length: LengthOptions | None = None,
) -> PrepareOptions:
    """Translate run_mlm.py's options about text into those of `prepare`."""
    return PrepareOptions(
        tokenizer=tokenizer,
        text_column=options.text_column or "text",
        format=options.format,
        csv_delimiter=options.csv_delimiter,
        csv_quoting=options.csv_quoting or "minimal",
        json_field=options.json_field,
        block_size=_block_size(options, tokenizer, model, length),
        packing="none" if options.line_by_line else "concat",
        drop_empty=options.line_by_line,
        threads=options.preprocessing_num_workers,
        progress=not quiet,
    )


def make_blocks(
    text: Any, given: PrepareOptions, options: RunMlmOptions, **changes: Any
) -> dict[str, BlockStore]:
    """Prepare blocks, or open those in the cache; errors name the flags of run_mlm.py."""
    try:
        return prepare_cached(
            text,
            replace(given, **changes),
            cache_dir=options.cache_dir,
            overwrite_cache=options.overwrite_cache,
        )
    except InputError as error:
        if "--block-size" not in str(error):
            raise
        raise InputError(
            f"{error} (Here --block-size is --max-seq-length, and --test-size is "
            "--validation-split-percentage.)"
        ) from error


def tokenizer_of(options: RunMlmOptions, model: str | Path | None) -> LoadedTokenizer:
    """Load the tokenizer that the options name, or the model's."""
    name = options.tokenizer_name or model
    if name is None:
        raise InputError(
            "Text needs a tokenizer: give --tokenizer-name, or a --model that has one. "
            "`mlmfast train-tokenizer` trains a new one."
        )
    if not options.hub and options.use_fast_tokenizer:
        return load_tokenizer(str(name))
    return replace(load_tokenizer(load_own_tokenizer(options, model)), name=str(name))


def load_own_tokenizer(
    options: RunMlmOptions, model: str | Path | None
) -> transformers.PreTrainedTokenizerBase:
    """Load the tokenizer that the options name, or the model's, as an object of transformers."""
    name = str(options.tokenizer_name or model)
    try:
        return transformers.AutoTokenizer.from_pretrained(
            name, use_fast=options.use_fast_tokenizer, **options.hub
        )
    except (OSError, ValueError) as error:
        raise NotFoundError(f"The tokenizer {name} cannot be opened: {error}") from error


def _block_size(
    options: RunMlmOptions,
    tokenizer: LoadedTokenizer,
    model: str | Path | None,
    length: LengthOptions | None,
) -> int:
    """Return the requested block size, lowered to the limit of tokenizer and model."""
    limits = limits_of(tokenizer)
    if length is not None and length.max_position_embeddings is not None:
        limits = []  # the tokenizer's is that of the model before
    if model is not None:
        config = load_config(model, **options.hub)
        if length is not None and length.given:
            change_positions(config, length)
        limits += limits_of_config(config, trust_remote_code=options.trust_remote_code)
    requested = options.max_seq_length
    if requested is None:
        return longest_block(limits)
    if limits and requested > min(limits):
        logger.warning(
            "max_seq_length is %d, but tokenizer and model take at most %d: using that.",
            requested,
            min(limits),
        )
    return min([*limits, requested])


def _texts(data: Any, options: RunMlmOptions) -> tuple[Any, Any]:
    """Return the text to train on, and to evaluate on; None to hold out part of the former."""
    validation = None if options.validation_file is None else [options.validation_file]
    name = options.dataset_name
    if name is None and isinstance(data, str | Path) and is_dataset_folder(as_path(data)):
        name = str(data)
    if name is None:
        given = options.train_file if data is None else data
        return _files(given, options.format), validation
    splits = load_dataset_splits(
        name,
        options.dataset_config_name,
        cache_dir=options.cache_dir,
        token=options.token,
        streaming=options.streaming,
    )
    if "train" not in splits:
        raise InputError(f"The data set {name} has no split train, but {', '.join(splits)}.")
    own = splits.get("validation") if options.validation_split_percentage is None else None
    both = [splits["train"], validation or own]
    if options.streaming:
        column = options.text_column or "text"
        both = [arrow_stream(one, column) if hasattr(one, "iter") else one for one in both]
    return both[0], both[1]


def _is_source(folder: Path, kind: str | None) -> bool:
    """Whether `prepare` opens a folder itself."""
    return kind == "document" or is_dataset_folder(folder) or is_mds_folder(folder)


def _files(data: Any, kind: str | None) -> Any:
    """Replace folders by their text files; `prepare` opens everything else."""
    listed = list(data) if isinstance(data, list | tuple) else [data]
    if STDIN in listed:
        raise InputError(
            "Standard input can be read only once: prepare it with `mlmfast prepare -`."
        )
    sources: list[Any] = []
    for one in listed:
        path = as_path(one, home=True) if isinstance(one, str | Path) else None
        if path is None or not path.is_dir() or _is_source(path, kind):
            sources.append(one)
            continue
        if is_store_folder(path):
            raise InputError(f"{path} is a block store; train on one store, or on text.")
        files = sorted(
            file
            for file in path.iterdir()
            if file.is_file() and format_of(file) and not is_stray(file)
        )
        if not files:
            raise InputError(
                f"The folder {path} holds neither blocks nor text files (.txt, .jsonl, .csv, "
                ".parquet ...)."
            )
        sources += files
    return sources
