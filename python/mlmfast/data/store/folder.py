"""What counts as a block store: a folder with a manifest, or one with such folders as splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.data.store.manifest import MANIFEST_FILE
from mlmfast.data.tokenization.load import FILE_NAMES
from mlmfast.fs.paths import is_stray

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path, PurePosixPath

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


def is_store_listing(paths: Sequence[str]) -> bool:
    """Tell whether files, by their paths in a folder, are those of one or more block stores."""
    last = [path.rpartition("/")[2] for path in paths]
    return MANIFEST_FILE in last and all(
        name in _STORE_FILES
        or name == "dataset_dict.json"
        or (name.endswith(".arrow") and name.startswith("data-"))
        for name in last
    )


def upload_order(path: PurePosixPath) -> tuple[Any, ...]:
    """Sort key for files of block stores: manifests come last, and those of train after all."""
    is_manifest = path.name == MANIFEST_FILE
    return is_manifest, is_manifest and "train" in path.parts, str(path)


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
