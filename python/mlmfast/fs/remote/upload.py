"""A folder that is written on this machine, and then appears at a URL: `uploaded`."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, MlmfastError, NotFoundError, OutputExistsError
from mlmfast.fs.cache import cache_dir, digest
from mlmfast.fs.lock import FileLock
from mlmfast.fs.remote.faults import ShortReadError, retried
from mlmfast.fs.remote.listing import files_below, look_up
from mlmfast.fs.remote.urls import file_system, is_web, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@contextmanager
def uploaded(
    url: str,
    *,
    overwrite: bool,
    is_ours: Callable[[Sequence[str]], bool],
    last: Callable[[PurePosixPath], Any],
) -> Iterator[Path]:
    """Yield a folder to write, whose files are at `url` when the block has succeeded.

    The folder is always the same for a URL, and what the block leaves beside it is kept when it
    fails, so that work that can be resumed is. The folder itself does not exist at first. Only one
    process of this machine at a time works on a URL.

    Args:
        url: Where to; nothing appears there before the block has succeeded.
        overwrite: Whether to replace files that are there.
        is_ours: Returns whether paths of files, relative to `url`, are of what is written here;
            others are never replaced.
        last: A sort key: files are uploaded in its order, by their paths below `url`. The last
            one should be the one without which nothing opens. Files that are replaced are removed
            before, in the opposite order.

    Raises:
        OutputExistsError: There are files that may not be replaced, or another process writes.
        InputError: The URL cannot be written to.
    """
    url = url.rstrip("/")
    there = _check_free(url, overwrite=overwrite, is_ours=is_ours)
    work = cache_dir("uploads") / digest([url.encode()])
    folder = work / (url.rpartition("/")[2] or "output")
    lock = FileLock(work.with_suffix(".lock"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire()
    except BlockingIOError:
        raise OutputExistsError(
            f"Another process is writing {shown(url)!r} at this moment. Wait for it, or choose "
            "another output."
        ) from None
    try:
        shutil.rmtree(folder, ignore_errors=True)  # what could not be uploaded
        yield folder
        try:
            _upload(folder, url, there, last)
        except MlmfastError as error:
            left = f"All of it is in {str(folder)!r}; nothing opens at {shown(url)!r} yet."
            error.args = (f"{error} {left} The same command begins again.",)
            raise
        shutil.rmtree(work, ignore_errors=True)
    finally:
        lock.release()


def _check_free(
    url: str, *, overwrite: bool, is_ours: Callable[[Sequence[str]], bool]
) -> list[str]:
    """Return the paths of the files that are at `url`, below it, and will be replaced."""
    if is_web(url):
        raise InputError(f"{shown(url)!r} cannot be written to: web servers are for reading.")
    try:
        if look_up(url) is not None:
            raise OutputExistsError(
                f"The output {shown(url)!r} is a file; it should be the name of a folder."
            )
        there = [file.url.removeprefix(f"{url}/") for file in files_below(url)]
    except NotFoundError:
        return []
    if not is_ours(there):
        raise OutputExistsError(
            f"The output {shown(url)!r} exists and holds something that this command did not "
            "write, so it is not replaced, not even with --overwrite. Choose another folder."
        )
    if not overwrite:
        raise OutputExistsError(
            f"The output {shown(url)!r} exists already. Use --overwrite (overwrite=True) to "
            "replace it, or choose another folder."
        )
    return there


def _upload(
    folder: Path, url: str, there: Sequence[str], last: Callable[[PurePosixPath], Any]
) -> None:
    written = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    names = sorted((PurePosixPath(path.as_posix()) for path in written), key=last)
    # What opens the old output goes first.
    for name in sorted(map(PurePosixPath, there), key=last, reverse=True):
        _remove(f"{url}/{name}")
    for name in names:
        _put(folder / name, f"{url}/{name}")


def _remove(url: str) -> None:
    system, path = file_system(url)
    try:
        retried(lambda: system.rm_file(path), url)
    except NotFoundError:
        return


def _put(source: Path, url: str) -> None:
    system, path = file_system(url)
    size = source.stat().st_size

    def put() -> None:
        system.put_file(str(source), path)
        found = look_up(url)
        if found is None or found.size != size:
            raise ShortReadError(f"{found and found.size} of {size:,} bytes arrived")

    retried(put, url)
