"""Raw text to evaluate on: prepared as the training prepared its own, in a temporary folder."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.store.joined import check_joinable
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError, MlmfastError
from mlmfast.fs.paths import as_path
from mlmfast.options import check_options
from mlmfast.peft_models import is_adapter
from mlmfast.training.model.load import load_config
from mlmfast.training.model.positions.input_length import limits_of, longest_block
from mlmfast.training.options.raw_text import TEXT_OPTIONS
from mlmfast.training.options.record import read_summary
from mlmfast.training.options.text_blocks import TextBlocks
from mlmfast.training.text_data import is_blocks
from mlmfast.training.text_source import TextSource

if TYPE_CHECKING:
    from mlmfast.data.tokenization.load import LoadedTokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationData:
    """The blocks of an evaluation.

    Attributes:
        stores: the store, or several by name.
        texts: the folder of each store that was made of text, and that text.
    """

    stores: BlockStore | dict[str, BlockStore]
    texts: dict[str, TextSource] = field(default_factory=dict)


@contextmanager
def evaluation_data(
    data: Any,
    model: str | Path | torch.nn.Module,
    given: Mapping[str, Any],
    *,
    progress: bool = False,
) -> Iterator[EvaluationData]:
    """Open the stores of an evaluation, and prepare those of its data that are text.

    The blocks of a text exist until the `with` block ends.

    Args:
        data: as in `evaluate`.
        model: as in `evaluate`; its tokenizer encodes the text.
        given: the options of text, those of `TEXT_OPTIONS`.
        progress: show a bar on stderr (if it is a terminal).

    Raises:
        NotFoundError: no such store, or text.
        InputError: an option or a text cannot be used, or the stores do not go together.
        StoreError: a store is damaged.
    """
    listed = _listed(data)
    if given and listed and not text_of(data):
        raise InputError(
            f"{', '.join(given)}: for raw text, but "
            f"{' and '.join(map(called_by_user, listed))} holds blocks already."
        )
    read: dict[str, TextSource] = {}
    with tempfile.TemporaryDirectory(prefix="mlmfast-", ignore_cleanup_errors=True) as folder:

        def prepare(texts: Sequence[Any], stores: Sequence[BlockStore]) -> list[BlockStore]:
            options = _options(model, given, stores, progress=progress)
            made = []
            for number, text in enumerate(texts):
                made.append(_prepare(text, Path(folder) / str(number), options))
                read[str(made[-1].path)] = TextSource.read_with(called_by_user(text), given)
            return made

        yield EvaluationData(open_stores(data, prepare), read)


def open_stores(
    data: Any, prepare: Callable[[Sequence[Any], Sequence[BlockStore]], list[BlockStore]]
) -> BlockStore | dict[str, BlockStore]:
    """Open the stores of an evaluation, in the order and by the names in which they are given.

    Args:
        data: a store or a text, or several by name; of a folder with splits, the split `test`.
        prepare: makes the stores of the texts, if there are any, beside the stores of the rest.

    Raises:
        InputError: There are none, or they have other tokenizers or block sizes.
        NotFoundError: no such store.
        StoreError: a store is damaged.
    """
    several = isinstance(data, Mapping)
    named: dict[str, Any] = dict(data) if several else {"": data}
    if not named:
        raise InputError("There is no block store to evaluate on, and no text.")
    stores = {name: open_test_split(one) for name, one in named.items() if is_blocks(one)}
    texts = {name: one for name, one in named.items() if name not in stores}
    if texts:
        made = prepare(list(texts.values()), list(stores.values()))
        stores |= dict(zip(texts, made, strict=True))
    if not several:
        return stores[""]
    ordered = {name: stores[name] for name in named}
    check_joinable(list(ordered.values()))
    return ordered


def text_of(data: Any) -> list[Any]:
    """Return what is text of the data of an evaluation: one, or several by name."""
    return [one for one in _listed(data) if not is_blocks(one)]


def _listed(data: Any) -> list[Any]:
    return list(data.values()) if isinstance(data, Mapping) else [data]


def open_test_split(data: str | Path | BlockStore) -> BlockStore:
    """Open a store, or the split `test` of a folder with splits."""
    if isinstance(data, BlockStore):
        return data
    splits = open_splits(data)
    return splits.get("test") or splits["train"]


def _options(
    model: str | Path | torch.nn.Module,
    given: Mapping[str, Any],
    stores: Sequence[BlockStore],
    *,
    progress: bool,
) -> PrepareOptions:
    """Return the options of `prepare` for the texts of an evaluation."""
    recorded = None
    if not isinstance(model, torch.nn.Module):
        if not is_adapter(as_path(model)):
            load_config(model)  # raises an error if there is no such model
        recorded = read_summary(as_path(model)).get("text")
    blocks = text_blocks(given, stores, TextBlocks.from_json(recorded))
    tokenizer = _tokenizer(given.get("tokenizer"), model)
    if blocks.block_size is None:
        blocks = replace(blocks, block_size=longest_block(limits_of(tokenizer, model)))
    return prepare_options(tokenizer, blocks, given, progress=progress)


def text_blocks(
    given: Mapping[str, Any], stores: Sequence[BlockStore], trained: TextBlocks
) -> TextBlocks:
    """Return how the texts of an evaluation become blocks.

    Args:
        given: the options of text.
        stores: what is measured together with the text.
        trained: how the blocks of the training were made.

    Raises:
        InputError: an option is out of range.
    """
    own = {each.name for each in fields(TextBlocks)}
    blocks = TextBlocks(**{name: value for name, value in given.items() if name in own})
    check_options(blocks)
    if stores:
        blocks = blocks.over(TextBlocks.of(stores[0]))
    return blocks.over(trained)


def prepare_options(
    tokenizer: LoadedTokenizer, blocks: TextBlocks, given: Mapping[str, Any], *, progress: bool
) -> PrepareOptions:
    """Return the options of `prepare` for the texts of an evaluation; `given` says how to read."""
    own = {"tokenizer", *(each.name for each in fields(TextBlocks))}
    others = {name: value for name, value in given.items() if name not in own}
    return PrepareOptions(tokenizer=tokenizer, progress=progress, **blocks.known(), **others)


def _tokenizer(given: Any, model: str | Path | torch.nn.Module) -> LoadedTokenizer:
    if given is not None:
        return load_tokenizer(given)
    way_out = "Name the tokenizer of the text with --tokenizer (tokenizer=...)."
    if isinstance(model, torch.nn.Module):
        raise InputError(f"A model in memory has no tokenizer for raw text. {way_out}")
    try:
        return load_tokenizer(str(as_path(model)) if as_path(model).is_dir() else str(model))
    except MlmfastError as error:
        raise InputError(f"{error} {way_out}") from error


def _prepare(text: Any, folder: Path, options: PrepareOptions) -> BlockStore:
    report = run_prepare(text, folder, options)
    for warning in report.warnings:
        logger.warning("%s", warning)
    return report.stores["train"]


def called_by_user(data: Any) -> str:
    """Return what a message calls a store or a text."""
    if isinstance(data, BlockStore):
        return str(data.path)
    if isinstance(data, str | Path):
        return str(data)
    if isinstance(data, list | tuple):
        return ", ".join(map(called_by_user, data))
    return type(data).__name__


def check_text_options(function: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of a function that are options of text, except None, "not given".

    Raises:
        TypeError: one is none of `TEXT_OPTIONS`.
    """
    for name in given:
        if name not in TEXT_OPTIONS:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
    return {name: value for name, value in given.items() if value is not None}
