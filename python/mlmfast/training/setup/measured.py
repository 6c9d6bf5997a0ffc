"""What a training is measured on by `eval_data`: block stores, and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare.cache import prepare_cached
from mlmfast.errors import InputError
from mlmfast.training.evaluation.raw_text import (
    EvaluationData,
    called_by_user,
    open_stores,
    prepare_options,
    text_blocks,
)
from mlmfast.training.options.text_blocks import TextBlocks
from mlmfast.training.text_source import TextSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.process.distributed import Processes
    from mlmfast.training.setup.config import TrainConfig

_READING = {
    "text_column": "text_column",
    "format": "format",
    "csv_delimiter": "csv_delimiter",
    "csv_quoting": "csv_quoting",
    "json_field": "json_field",
    "preprocessing_num_workers": "threads",
}
"""The flags of run_mlm.py about reading, and the options of `prepare` that they are."""


def open_measured(config: TrainConfig, trained: BlockStore, processes: Processes) -> EvaluationData:
    """Open the stores of `eval_data`; prepare what is text, or open its blocks in the cache.

    Text becomes the blocks that `evaluate` makes of it for the finished model: with the tokenizer
    and the options of the blocks that the training reads.

    Args:
        config: the options of the training.
        trained: the blocks that it reads.
        processes: the processes that train together; the first one prepares.

    Raises:
        InputError: a text cannot be used, or the stores do not go together.
        NotFoundError: a text or a store does not exist.
        StoreError: a store is damaged.
    """
    options = config.options
    read: dict[str, TextSource] = {}

    def prepare(texts: Sequence[Any], stores: Sequence[BlockStore]) -> list[BlockStore]:
        values = {name: getattr(options, flag) for flag, name in _READING.items()}
        given = {name: value for name, value in values.items() if value is not None}
        blocks = text_blocks({}, stores, TextBlocks.of(trained))
        found = prepare_options(trained.tokenizer, blocks, given, progress=not config.quiet)
        made = processes.run_on_rank0(lambda: [cached(text, found) for text in texts])
        for store, text in zip(made, texts, strict=True):
            read[str(store.path)] = TextSource.read_with(called_by_user(text), given)
        return made

    def cached(text: Any, found: Any) -> BlockStore:
        try:
            return prepare_cached(
                text,
                found,
                cache_dir=options.cache_dir,
                overwrite_cache=options.overwrite_cache,
            )["train"]
        except InputError as error:
            raise InputError(
                f"eval_data {called_by_user(text)}: {error} Or prepare it with `mlmfast prepare`, "
                "and give its blocks."
            ) from error

    return EvaluationData(open_stores(config.eval_data, prepare), read)
