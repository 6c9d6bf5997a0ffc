"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlmfast.errors import InputError, MlmfastError, OutputExistsError
from mlmfast.fs.paths import as_path, is_stray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def atomic_output_dir(
    path: Path | str, *, overwrite: bool, is_ours: Callable[[Path], bool]
) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that becomes `path` when the block succeeds.

    If the block fails, also by Ctrl-C, the temporary folder is removed and `path` stays as it was.
    Whether `path` may be written is checked on entry.

    Args:
        path: The folder to write. Missing parents are created (and removed again on failure).
        overwrite: Whether to replace an existing folder.
        is_ours: Returns whether an existing folder is of the kind that is written here; other
            folders are never replaced.

    Raises:
        OutputExistsError: `path` exists and may not be replaced.
        InputError: The folder cannot be created, or the disk is full.
    """
    target = Path(os.path.abspath(as_path(path)))  # noqa: PTH100 - a symbolic link as last part is kept
    check_free(target, overwrite=overwrite, is_ours=is_ours)
    new_parents = missing_parents(target)
    temporary = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
    old = temporary.with_name(temporary.name + "-old")
    try:
        make_parents(target)
        _make(temporary)
        yield temporary
        put_in_place(temporary, target, old=old)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException as error:
        written = folder_bytes(temporary)
        shutil.rmtree(temporary, ignore_errors=True)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        for parent in new_parents:
            with suppress(OSError):
                parent.rmdir()
        # Errors of mlmfast already say what was written.
        if is_disk_full(error) and not isinstance(error, MlmfastError):
            raise InputError(
                f"The disk that holds {str(target.parent)!r} is full: {written:,} bytes had been "
                f"written for {target.name!r}, and more are needed. Nothing was left behind; "
                "free some space or choose an output on another disk."
            ) from error
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that becomes `path` when the block succeeds.

    If the block fails, the sibling is removed and `path` stays as it was. The folder must exist.
    Several processes and threads may write the same file: the last one wins.

    Args:
        path: The file to write; an existing file is replaced.
    """
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a small file that is whole whenever another process reads it.

    Args:
        path: The file; missing parents are created.
        content: Its bytes.

    Raises:
        OSError: The file cannot be written; one that was there is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def check_free(target: Path, *, overwrite: bool, is_ours: Callable[[Path], bool]) -> None:
    """Raise OutputExistsError unless `target` may be written; see `atomic_output_dir`."""
    if not target.exists():
        if target.is_symlink():
            raise OutputExistsError(f"The output {str(target)!r} is a symbolic link to nowhere.")
        return
    if not target.is_dir():
        raise OutputExistsError(
            f"The output {str(target)!r} is a file; it should be the name of a folder."
        )
    if all(map(is_stray, target.iterdir())):
        return
    if not is_ours(target):
        raise OutputExistsError(
            f"The output {str(target)!r} exists and holds something that this command did not "
            "write, so it is not replaced, not even with --overwrite. Choose another folder."
        )
    if not overwrite:
        raise OutputExistsError(
            f"The output {str(target)!r} exists already. Use --overwrite (overwrite=True) to "
            "replace it, or choose another folder."
        )


def missing_parents(target: Path) -> list[Path]:
    """Return the parents of `target` that do not exist, innermost first."""
    return [parent for parent in target.parents if not parent.exists()]


def make_parents(target: Path) -> None:
    """Create the parents of `target`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {str(target.parent)!r} cannot be created: {error.strerror}."
        ) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        raise InputError(
            f"Nothing can be written into {str(folder.parent)!r}: {error.strerror}."
        ) from error


def put_in_place(new: Path, target: Path, *, old: Path) -> None:
    """Rename the folder `new` to `target`, all or nothing, also when Ctrl-C comes in between.

    Args:
        new: A folder on the file system of `target`.
        target: Its place; a symbolic link is followed.
        old: The name that a folder at `target` gets; the caller removes it.
    """
    real = target.resolve()
    try:
        if real.exists():
            real.rename(old)
        new.rename(real)
    except BaseException:
        if old.exists() and not real.exists():
            old.rename(real)
        raise


def folder_bytes(folder: Path) -> int:
    """Return the total size of the files in a folder, in bytes."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += file.stat().st_size
    return total


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether a full disk caused `error`, even if a library has wrapped it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        if isinstance(error, Exception) and "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
