"""Whether a model and a store use the same ids for the same tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError, MlmfastError
from mlmfast.fs.paths import as_path

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore


_ALTERNATIVES = {
    "model": "train from scratch",
    "teacher": (
        "give the teacher that of the blocks, with which it then has to be trained: "
        "mlmfast vocabulary replace {model} --tokenizer {store} --output NEW"
    ),
}


def check_same_tokens(model: str | Path, store: BlockStore, *, role: str = "model") -> None:
    """Compare the tokenizer of a checkpoint, if it has one, with the store's.

    Ids that only one of the two has are no contradiction: tokens may have been added.

    Args:
        model: the checkpoint's folder or Hub name.
        store: the blocks.
        role: what the error calls it, `model` or `teacher`.

    Raises:
        InputError: an id stands for one token in the model and for another one in the blocks.
    """
    try:
        own = load_tokenizer(str(as_path(model)) if as_path(model).is_dir() else str(model))
    except MlmfastError:
        return  # the checkpoint has no tokenizer to compare
    theirs = store.tokenizer
    if own.sha256 == theirs.sha256:
        return
    in_model = {index: token for token, index in own.tokenizer.get_vocab().items()}
    in_blocks = {index: token for token, index in theirs.tokenizer.get_vocab().items()}
    differing = sorted(
        index for index in in_model.keys() & in_blocks.keys() if in_model[index] != in_blocks[index]
    )
    if differing:
        first = differing[0]
        raise InputError(
            f"The blocks of {store.path} have other tokens than the {role} {model}: "
            f"{len(differing):,} of {len(in_model):,} ids mean something else; {first} is "
            f"{in_model[first]!r} to the {role} and {in_blocks[first]!r} in the blocks (tokenizer "
            f"{store.manifest.tokenizer}, sha256 {theirs.sha256[:12]}, not {own.sha256[:12]}). "
            f"Prepare the blocks with the {role}'s own tokenizer, or "
            f"{_ALTERNATIVES[role].format(model=model, store=store.path)}."
        )
