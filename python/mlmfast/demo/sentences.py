"""Sentences with a mask to show a model's answers on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore
    from mlmfast.data.tokenization.load import LoadedTokenizer

MASK = "<mask>"
"""Stands for the mask token of the model."""

# Their answers are in the documentation of Python, which the model was trained on.
STANDARD_LIBRARY = (
    f"Return True if the object is an {MASK} of the class.",
    f"Return the {MASK} of items in the list.",
    f"A tuple is an immutable {MASK} of values.",
    f"Convert a {MASK} to an integer.",
    f"If the file does not {MASK}, an error is raised.",
)

SHOWN = 3
_WINDOW = 24
"""Tokens of a held-out block that are shown."""


def held_out(store: BlockStore, loaded: LoadedTokenizer) -> list[tuple[str, str]]:
    """Take excerpts out of a store, each with one token replaced by the mask.

    Returns:
        Pairs of the text and the replaced token.
    """
    special = set(store.manifest.special_ids)
    excerpts = []
    for block in store[:: max(1, len(store) // SHOWN)][:SHOWN]:
        ids = [int(each) for each in block[: _WINDOW * 2] if int(each) not in special][:_WINDOW]
        middle = len(ids) // 2
        if not ids:
            continue
        truth = loaded.tokenizer.decode([ids[middle]])
        before, after = (
            loaded.tokenizer.decode(part) for part in (ids[:middle], ids[middle + 1 :])
        )
        gap = " " if truth.startswith(" ") or not before else ""
        excerpts.append((f"{before}{gap}{MASK}{after}", truth.strip()))
    return excerpts
