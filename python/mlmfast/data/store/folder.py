"""What counts as a block store: a folder with a manifest, or one with such folders as splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.data.store.manifest import MANIFEST_FILE
from mlmfast.data.tokenization.load import FILE_NAMES
from mlmfast.fs.paths import is_stray

if TYPE_CHECKING:
    from pathlib import Path

_SPLITS = ("train", "test")
_STORE_FILES = {MANIFEST_FILE, "dataset_info.json", "state.json", *FILE_NAMES}


def store_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of the stores in `folder` by split; empty if it is not a store.

    Only the manifest decides, whatever other files lie beside it. The result is {"train": folder}
    for a store, and {"train": ..., "test": ...} for one with splits.
    """
    if (folder / MANIFEST_FILE).is_file():
        return {"train": folder}
    splits = {name: folder / name for name in _SPLITS if (folder / name / MANIFEST_FILE).is_file()}
    return splits if "train" in splits else {}


def is_store_folder(folder: Path) -> bool:
    """Tell whether `folder` is a block store, or one with splits."""
    return bool(store_folders(folder))


def holds_store_alone(folder: Path) -> bool:
    """Tell whether `folder` holds a block store and nothing else, so that it may be replaced.

    Files that operating systems leave in folders do not count.
    """
    names = {entry.name for entry in folder.iterdir() if not is_stray(entry)}
    splits = names & set(_SPLITS)
    if splits and not names - splits - {"dataset_dict.json"}:
        return all((folder / name).is_dir() and holds_store_alone(folder / name) for name in splits)
    # `datasets` writes its caches beside the data.
    return MANIFEST_FILE in names and all(
        name.endswith(".arrow") and name.startswith(("data-", "cache-"))
        for name in names - _STORE_FILES
    )
