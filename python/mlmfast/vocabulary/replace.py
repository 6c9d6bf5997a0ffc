"""A checkpoint with the vocabulary of another tokenizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError
from mlmfast.fs.atomic import atomic_output_dir
from mlmfast.options import check_choice
from mlmfast.torch_models import max_input_length, text_config
from mlmfast.vocabulary.bits import evaluate_on
from mlmfast.vocabulary.checkpoint import (
    check_output,
    is_ours,
    open_model,
    open_tokenizer,
    write_table,
)
from mlmfast.vocabulary.families.open import check_fast
from mlmfast.vocabulary.model.rebuild import rebuild
from mlmfast.vocabulary.report import ReplaceReport, Size
from mlmfast.vocabulary.rows.focus import by_similarity
from mlmfast.vocabulary.rows.initial import InitialRows, initial_rows
from mlmfast.vocabulary.speed import compare_speed
from mlmfast.vocabulary.texts import read_sample

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from mlmfast.data.tokenization.loaded import LoadedTokenizer
    from mlmfast.vocabulary.model.sources import Mixture

Init = Literal["mean", "focus"]


def replace_vocabulary(
    model: str | Path,
    tokenizer: Any,
    output: str | Path,
    *,
    init: Init = "mean",
    texts: Any = None,
    eval_megabytes: float = 0.25,
    speed: bool = False,
    overwrite: bool = False,
    **reading: Any,
) -> ReplaceReport:
    """Write a checkpoint with another tokenizer, whose tokens begin with rows made of the old ones.

    A token that both tokenizers have (the same text, and both or none begin a word) gets its old
    row, a special token the row of the old one with its role. Every other token gets the mean of
    the rows of the pieces into which the old tokenizer splits its text, in the embeddings, the
    decoder (tied or not) and its bias. With `init="focus"` it gets a combination of the rows of
    shared tokens that keep similar company in the texts, as in FOCUS (Dobler & de Melo 2023,
    "FOCUS: Effective Embedding Initialization for Monolingual Specialization of Multilingual
    Models"), with weights by sparsemax. Train the model afterwards.

    Args:
        model: a checkpoint folder with its tokenizer, or a Hub name.
        tokenizer: the new tokenizer: a folder, a tokenizer.json or a Hub name.
        output: the folder to write: a checkpoint with the new tokenizer, and `vocabulary.json`,
            which has the new id of every old token that is shared.
        init: `mean` or `focus`.
        texts: texts, as `mlmfast.prepare` takes its inputs: bits per byte are measured on them
            before and after, and `focus` learns from them which tokens are similar.
        eval_megabytes: measure on this much of the texts at most.
        speed: time a forward pass of the model before and after.
        overwrite: replace an output of an earlier call.
        reading: how the texts are read: `text_column`, `format` ... of `mlmfast.prepare`.

    Raises:
        NotFoundError: the model, the tokenizer or a text does not exist.
        InputError: a tokenizer has no mask or padding token, or no tokenizer.json; `focus` has no
            texts; this type of model cannot have another vocabulary.
        OutputExistsError: `output` exists.
    """
    check_choice("init", init, get_args(Init))
    if init == "focus" and texts is None:
        raise InputError("init focus needs texts, from which it learns which tokens are similar.")
    if eval_megabytes <= 0:
        raise InputError(f"eval_megabytes is {eval_megabytes}; expected more than 0.")
    check_output(model, output)
    with atomic_output_dir(output, overwrite=overwrite, is_ours=is_ours) as folder:
        old, new = open_tokenizer(model), load_tokenizer(tokenizer)
        check_fast(old)
        _check_new(new)
        network, size = open_model(model, old)
        file = folder / ".sample.arrow"
        sample = None if texts is None else read_sample(texts, file, reading, name="texts")
        rows = initial_rows(old, new)
        similar: dict[int, Mixture] = {}
        if init == "focus" and sample is not None:
            rows, similar = by_similarity(rows, new, sample)
        rows_by_text = replace(rows, means={**rows.means, **similar})
        sources = rows_by_text.sources(new.id_bound, _fallback(old))
        rebuilt = rebuild(network, sources, _new_id(old, new, rows, network))
        new = _fitted(new, rebuilt)
        evaluations = None
        if sample is not None:
            most = int(eval_megabytes * 1e6)
            before = evaluate_on(network, old, sample, most)
            evaluations = (before, evaluate_on(rebuilt, new, sample, most))
            file.unlink()
        rebuilt.save_pretrained(folder)
        new.save(folder)
        write_table(folder, model, _inverted({**rows.shared, **rows.roles}))
        return ReplaceReport(
            output=Path(output),
            before=Size.of(network, size),
            after=Size.of(rebuilt, len(sources)),
            speed=compare_speed(network, rebuilt) if speed else None,
            shared=len(rows.shared),
            roles=len(rows.roles),
            means=len(rows.means),
            similar=len(similar),
            unknown=len(rows.unknown),
            evaluations=evaluations,
        )


def _check_new(loaded: LoadedTokenizer) -> None:
    check_fast(loaded)
    for role, number in (("mask", loaded.mask_token_id), ("pad", loaded.pad_token_id)):
        if number is None:
            raise InputError(
                f"The tokenizer {loaded.name!r} names no {role} token, which a masked language "
                f"model needs: name it as {role}_token in its tokenizer_config.json."
            )


def _fallback(old: LoadedTokenizer) -> int:
    """Return the row of unknown text: that of the unknown token, or of the mask."""
    unknown = old.tokenizer.token_to_id(old.tokens.get("unk_token", ""))
    return old.tokenizer.token_to_id(old.tokens["mask_token"]) if unknown is None else unknown


def _inverted(new_to_old: dict[int, int]) -> dict[int, int]:
    """Return old id -> new id; of several new ids, the lowest."""
    return {old: new for new, old in sorted(new_to_old.items(), reverse=True)}


def _new_id(
    old: LoadedTokenizer, new: LoadedTokenizer, rows: InitialRows, network: Any
) -> Callable[[str, int], int | None]:
    """Return the function from a field of the configuration and an id to the new id.

    A field of a role (`mask_token_id`, or XLM's `mask_index`) has the id of the new token with the
    role; the id of any other field stands for the new token with its row.
    """
    moved = _inverted({**rows.shared, **rows.roles})
    size = text_config(network.config).vocab_size

    def new_id(field: str, number: int) -> int | None:
        role = field.removesuffix("_id").removesuffix("_index").removesuffix("_token") + "_token"
        token = new.tokens.get(role)
        if token is not None and number == _id_of(old, role):
            return new.tokenizer.token_to_id(token)
        return moved.get(number, number if number >= size else None)

    return new_id


def _id_of(loaded: LoadedTokenizer, role: str) -> int | None:
    token = loaded.tokens.get(role)
    return None if token is None else loaded.tokenizer.token_to_id(token)


def _fitted(tokenizer: LoadedTokenizer, model: torch.nn.Module) -> LoadedTokenizer:
    """Return the tokenizer with the model's maximum number of tokens."""
    positions = max_input_length(model)
    return tokenizer if positions is None else tokenizer.with_max_length(positions.usable)
