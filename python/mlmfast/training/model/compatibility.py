"""Whether a model and a store mean the same tokens by the same ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError, MlmfastError
from mlmfast.fs.paths import as_path

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore


def check_same_tokens(model: str | Path, store: BlockStore) -> None:
    """Compare a checkpoint's own tokenizer, where it brings one, with the store's.

    Ids that only one of the two has are no contradiction: tokens may have been added.

    Args:
        model: the checkpoint's folder or Hub name.
        store: the blocks.

    Raises:
        InputError: an id means one token to the model and another one in the blocks.
    """
    try:
        own = load_tokenizer(str(as_path(model)) if as_path(model).is_dir() else str(model))
    except MlmfastError:
        return  # a checkpoint without a tokenizer says nothing
    theirs = store.tokenizer
    if own.sha256 == theirs.sha256:
        return
    mine = {index: token for token, index in own.tokenizer.get_vocab().items()}
    other = {index: token for token, index in theirs.tokenizer.get_vocab().items()}
    differing = sorted(index for index in mine.keys() & other.keys() if mine[index] != other[index])
    if differing:
        first = differing[0]
        raise InputError(
            f"The blocks of {store.path} have other tokens than the model {model}: "
            f"{len(differing):,} of {len(mine):,} ids mean something else; {first} is "
            f"{mine[first]!r} to the model and {other[first]!r} in the blocks (tokenizer "
            f"{store.manifest.tokenizer}, sha256 {theirs.sha256[:12]}, not {own.sha256[:12]}). "
            "Prepare the blocks with the model's own tokenizer, or train from scratch."
        )
