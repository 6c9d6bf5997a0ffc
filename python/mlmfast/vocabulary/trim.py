"""A checkpoint with the tokens that texts need, and no others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from mlmfast.fs.atomic import atomic_output_dir
from mlmfast.options import check_int
from mlmfast.vocabulary.checkpoint import (
    check_output,
    is_ours,
    open_model,
    open_tokenizer,
    write_table,
)
from mlmfast.vocabulary.families.open import check_fast
from mlmfast.vocabulary.model.config_ids import ids_of
from mlmfast.vocabulary.model.rebuild import position_padding, rebuild
from mlmfast.vocabulary.model.sources import RowSources
from mlmfast.vocabulary.report import Size, TrimReport
from mlmfast.vocabulary.speed import compare_speed
from mlmfast.vocabulary.texts import read_sample
from mlmfast.vocabulary.trimmed_tokenizer import trim_tokenizer
from mlmfast.vocabulary.usage import compare_tokens

logger = logging.getLogger(__name__)

# Options that name the texts, and so do not hold for others.
_WHAT_IS_READ = ("dataset_name", "dataset_config", "split")


def trim_vocabulary(
    model: str | Path,
    texts: Any,
    output: str | Path,
    *,
    keep: int | None = None,
    min_count: int = 1,
    test: Any = None,
    speed: bool = False,
    overwrite: bool = False,
    **reading: Any,
) -> TrimReport:
    """Write a checkpoint that has only the tokens that texts need.

    The tokens that stay keep their rows, bit for bit, and their order; their ids are consecutive.
    A text whose tokens all stay is tokenized into the same tokens. These stay whatever the texts
    are: special and added tokens, the alphabet of bytes, every single character of the texts, and
    all tokens that the merges of a kept token of BPE pass through.

    Args:
        model: a checkpoint folder with its tokenizer, or a Hub name.
        texts: the texts, as `mlmfast.prepare` takes its inputs.
        output: the folder to write: a checkpoint with its tokenizer, and `vocabulary.json`, which
            has the new id of every old one.
        keep: how many tokens to keep at most, the most frequent ones; None keeps all that occur.
        min_count: how often a token must occur.
        test: other texts, to report how many of them keep their tokens.
        speed: time a forward pass of the model before and after.
        overwrite: replace an output of an earlier call.
        reading: how the texts are read: `text_column`, `format` ... of `mlmfast.prepare`.

    Raises:
        NotFoundError: the model or a text does not exist.
        InputError: the tokenizer names no mask token, which would be lost, or has no
            tokenizer.json; more tokens than `keep` must stay; the model lacks rows for its
            tokenizer, or its type cannot have another vocabulary; there is no text.
        OutputExistsError: `output` exists.
    """
    if keep is not None:
        check_int("keep", keep, 1)
    check_int("min_count", min_count, 1)
    check_output(model, output)
    with atomic_output_dir(output, overwrite=overwrite, is_ours=is_ours) as folder:
        loaded = open_tokenizer(model)
        check_fast(loaded)
        network, rows = open_model(model, loaded)
        sample_file, test_file = folder / ".sample.arrow", folder / ".test.arrow"
        sample = read_sample(texts, sample_file, reading, name="texts")
        held_out = None
        if test is not None:
            how = {name: value for name, value in reading.items() if name not in _WHAT_IS_READ}
            held_out = read_sample(test, test_file, how, name="test")
        logger.info("counting the tokens of %s texts", f"{sample.texts:,}")
        # Models that number positions from their padding need it at the id that it has.
        padding = position_padding(network)
        trimmed = trim_tokenizer(
            loaded,
            sample,
            folder,
            also={
                "named by the configuration": ids_of(network.config),
                "up to the padding": set() if padding is None else set(range(padding + 1)),
            },
            keep=keep,
            min_count=min_count,
        )
        new_ids = trimmed.new_ids
        kept = compare_tokens(loaded, trimmed.loaded, new_ids, sample)
        kept_test = None
        if held_out is not None:
            kept_test = compare_tokens(loaded, trimmed.loaded, new_ids, held_out)
        sources = RowSources(torch.tensor(sorted(new_ids, key=new_ids.__getitem__)), {})
        rebuilt = rebuild(
            network, sources, lambda _, old: new_ids.get(old, old if old >= rows else None)
        )
        rebuilt.save_pretrained(folder)
        write_table(folder, model, new_ids)
        for file in (sample_file, test_file):
            file.unlink(missing_ok=True)
        return TrimReport(
            output=Path(output),
            before=Size.of(network, rows),
            after=Size.of(rebuilt, len(sources)),
            speed=compare_speed(network, rebuilt) if speed else None,
            left_out=trimmed.left_out,
            required=trimmed.required,
            used=trimmed.used,
            sample=kept,
            test=kept_test,
        )
