"""A checkpoint with the tokens that texts need, and no others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError
from mlmfast.fs.atomic import atomic_output_dir
from mlmfast.options import check_int
from mlmfast.vocabulary.checkpoint import (
    check_output,
    is_ours,
    open_model,
    open_tokenizer,
    write_table,
)
from mlmfast.vocabulary.families.open import open_family, read_content
from mlmfast.vocabulary.model.config_ids import ids_of
from mlmfast.vocabulary.model.rebuild import position_padding, rebuild
from mlmfast.vocabulary.model.sources import RowSources
from mlmfast.vocabulary.report import Size, TrimReport
from mlmfast.vocabulary.selection import select_tokens
from mlmfast.vocabulary.speed import compare_speed
from mlmfast.vocabulary.texts import read_sample
from mlmfast.vocabulary.tokenizer_files import processor_ids, rewritten
from mlmfast.vocabulary.usage import compare_tokens, count_usage

if TYPE_CHECKING:
    from mlmfast.data.tokenization.loaded import LoadedTokenizer
    from mlmfast.vocabulary.families.family import Family
    from mlmfast.vocabulary.usage import Usage

logger = logging.getLogger(__name__)


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
        content = read_content(loaded)
        family = open_family(loaded, content)
        network, rows = open_model(model, loaded)
        sample_file, test_file = folder / ".sample.arrow", folder / ".test.arrow"
        sample = read_sample(texts, sample_file, reading, name="texts")
        held_out = None if test is None else read_sample(test, test_file, reading, name="test")
        logger.info("counting the tokens of %s texts", f"{sample.texts:,}")
        usage = count_usage(loaded, family, sample)
        required = _required(loaded, family, usage, network, content)
        kept = select_tokens(usage.counts, required, family.parts, keep=keep, min_count=min_count)
        new_ids = _number(kept, family)
        files, left_out = rewritten(loaded.files, content, family.model(new_ids), new_ids)
        new = _write_tokenizer(folder, files, loaded, new_ids)
        kept_texts = compare_tokens(loaded, new, new_ids, sample)
        kept_test = held_out and compare_tokens(loaded, new, new_ids, held_out)
        sources = RowSources(torch.tensor(sorted(new_ids, key=new_ids.__getitem__)), {})
        trimmed = rebuild(
            network, sources, lambda _, old: new_ids.get(old, old if old >= rows else None)
        )
        trimmed.save_pretrained(folder)
        write_table(folder, model, new_ids)
        for file in (sample_file, test_file):
            file.unlink(missing_ok=True)
        return TrimReport(
            output=Path(output),
            before=Size.of(network, rows),
            after=Size.of(trimmed, len(sources)),
            speed=compare_speed(network, trimmed) if speed else None,
            left_out=left_out,
            required=len(set().union(*required.values())),
            used=int((usage.counts > 0).sum()),
            sample=kept_texts,
            test=kept_test,
        )


def _required(
    loaded: LoadedTokenizer,
    family: Family,
    usage: Usage,
    network: Any,
    content: dict[str, Any],
) -> dict[str, set[int]]:
    """Return the ids that stay in any case, by the reason.

    Raises:
        InputError: the library gives an added token another id than the file.
    """
    vocabulary = loaded.tokenizer.get_vocab()
    known = {*vocabulary.values(), *family.tokens}
    added = set()
    for token in content.get("added_tokens") or []:
        if vocabulary.get(token["content"]) != token["id"]:
            raise InputError(
                f"The tokenizer.json of {loaded.name!r} gives {token['content']!r} the id "
                f"{token['id']}, and the library {vocabulary.get(token['content'])}: mend the file."
            )
        added.add(token["id"])
    # Models that number positions from their padding need it at the id that it has.
    padding = position_padding(network)
    return {
        "special or added": {*loaded.special_ids, *added, *processor_ids(content)} & known,
        "named by the configuration": ids_of(network.config) & known,
        "up to the padding": set(range(padding + 1)) & known if padding is not None else set(),
        "of the alphabet": family.required(),
        "single characters of the texts": family.characters(usage.letters),
        "in unknown words": usage.before_unknown,
    }


def _number(kept: set[int], family: Family) -> dict[int, int]:
    """Return old id -> new id: consecutive and in the old order, the model's own tokens first.

    The `tokenizers` library gives tokens that are not in the model's vocabulary the ids after it.
    """
    order = sorted(kept, key=lambda number: (number not in family.tokens, number))
    return {old: new for new, old in enumerate(order)}


def _write_tokenizer(
    folder: Path, files: dict[str, bytes], old: LoadedTokenizer, new_ids: dict[int, int]
) -> LoadedTokenizer:
    """Write the files of the trimmed tokenizer, open them, and check that every id is the new one.

    Raises:
        InputError: the library, or transformers, gives a token another id.
    """
    for name, content in files.items():
        (folder / name).write_bytes(content)
    new = load_tokenizer(folder)
    before, after = old.tokenizer.get_vocab(), new.tokenizer.get_vocab()
    expected = {token: new_ids[number] for token, number in before.items() if number in new_ids}
    if after != expected or new.tokens != old.tokens:
        wrong = sorted(expected.items() ^ after.items()) or sorted(
            old.tokens.items() ^ new.tokens.items()
        )
        raise InputError(
            f"The tokenizer {old.name!r} cannot be trimmed: {wrong[0][0]!r} would be another token "
            "in the files that are written."
        )
    return new
