"""Several block stores with names, as a command line has them: `NAME=STORE`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlmfast.data.store.joined import JoinedStore
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

NamedStores = Mapping[str, "str | Path | BlockStore"]


def names_of(stores: Sequence[BlockStore | str | Path]) -> tuple[str, ...]:
    """Name stores by their folders: the last part, or all of the path where that is not enough."""
    paths = [one.path if isinstance(one, BlockStore) else Path(one) for one in stores]
    # A split says nothing about where the text is from.
    folders = [path.parent if path.name in {"train", "test"} else path for path in paths]
    short = [folder.name or str(folder) for folder in folders]
    return tuple(
        name if short.count(name) == 1 else str(path)
        for name, path in zip(short, paths, strict=True)
    )


def named_folders(words: Sequence[str]) -> str | dict[str, str]:
    """Return the paths of `[NAME=]STORE` words by name; a single one without a name alone.

    There is one word at least. A word is a path if there is one of that name, whatever
    characters it has.

    Raises:
        InputError: Two have the same name, or a name is empty.
    """
    given = [("", word) if Path(word).exists() else _divided(word) for word in words]
    if len(given) == 1 and not given[0][0]:
        return given[0][1]
    own = names_of([folder for _, folder in given])
    names = [name or folder for (name, _), folder in zip(given, own, strict=True)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"Two block stores have the name {twice[0]}: give others, NAME=STORE.")
    return dict(zip(names, (folder for _, folder in given), strict=True))


def joined(stores: BlockStore | Mapping[str, BlockStore]) -> BlockStore:
    """Return a store as it is, and several as one."""
    return stores if isinstance(stores, BlockStore) else JoinedStore(list(stores.values()))


def _divided(word: str) -> tuple[str, str]:
    name, equals, folder = word.partition("=")
    if equals and not (name and folder):
        raise InputError(f"{word!r} is no NAME=STORE: give both, or the store alone.")
    return (name, folder) if equals else ("", word)
