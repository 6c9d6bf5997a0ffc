"""A staging folder for an output, which survives a killed run so that the next run can resume."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlmfast.errors import InputError, MlmfastError, OutputExistsError
from mlmfast.fs.atomic import (
    check_free,
    folder_bytes,
    is_disk_full,
    make_parents,
    missing_parents,
    put_in_place,
)
from mlmfast.fs.lock import FileLock
from mlmfast.fs.paths import as_path


@dataclass
class StagingDir:
    """The hidden folder beside the output in which the output is written."""

    root: Path
    kept: Callable[[], str | None] = field(default=lambda: None)
    """Called when the work fails: says in words what is kept; None removes everything."""
    claimed: bool = False
    """Whether this run has resumed or cleared what an earlier run left."""

    @property
    def output(self) -> Path:
        """The folder that becomes the output."""
        return self.root / "output"

    @property
    def state(self) -> Path:
        """The file with the state of the work."""
        return self.root / "state.json"

    @property
    def replaced(self) -> Path:
        """The place of an old output until the new one is in its place."""
        return self.root / "replaced"

    def clear(self) -> None:
        """Start over: empty the staging folder except for an empty output folder."""
        for entry in self.root.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != _LOCK:
                entry.unlink()
        self.output.mkdir()


_LOCK = "lock"


@contextmanager
def resumable(
    path: Path, *, overwrite: bool, is_ours: Callable[[Path], bool]
) -> Iterator[StagingDir]:
    """Yield a staging folder whose `output` becomes `path` when the block succeeds.

    As `atomic_output_dir`, but the staging folder always has the same name. It is not removed when
    the process is killed, nor after an error for which `kept` returns a text. Only one process at a
    time works on a path. What an earlier run left is not removed: the caller resumes it, or calls
    `clear`.

    Raises:
        OutputExistsError: `path` exists and may not be replaced, or another process is writing it.
        InputError: The folder cannot be created, or the disk is full.
    """
    target = Path(os.path.abspath(as_path(path)))  # noqa: PTH100 - a symbolic link as last part is kept
    work = StagingDir(as_path(target.parent / f".{target.name}.partial-prepare"))
    if not work.replaced.exists():
        check_free(target, overwrite=overwrite, is_ours=is_ours)
    new_parents = missing_parents(target)
    lock = FileLock(work.root / _LOCK)
    try:
        make_parents(target)
        with _locked(lock, work, target):
            _undo_half_a_swap(work, target)
            check_free(target, overwrite=overwrite, is_ours=is_ours)
            try:
                yield work
                put_in_place(work.output, target, old=work.replaced)
                shutil.rmtree(work.root, ignore_errors=True)
            except BaseException as error:
                _fail(work, target, error)
                raise
    except BaseException:
        lock.release()  # again: the interrupt may have come while it was released
        _sweep_unused(work, lock)
        for parent in new_parents:
            with suppress(OSError):
                parent.rmdir()
        raise


def _sweep_unused(work: StagingDir, lock: FileLock) -> None:
    """Remove a staging folder that holds nothing, unless another process uses it."""
    try:
        lock.acquire()
        if [entry.name for entry in work.root.iterdir()] == [_LOCK]:
            shutil.rmtree(work.root, ignore_errors=True)
    except OSError:
        return
    finally:
        lock.release()


@contextmanager
def _locked(lock: FileLock, work: StagingDir, target: Path) -> Iterator[None]:
    try:
        while not lock.is_current():
            lock.release()  # another process has removed the file that this one had opened
            _acquire(lock, work, target)
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, work: StagingDir, target: Path) -> None:
    try:
        work.root.mkdir(exist_ok=True)
        lock.acquire()
    except FileNotFoundError:
        return  # another process has just removed the folder
    except BlockingIOError:
        raise OutputExistsError(
            f"Another `mlmfast prepare` is writing {str(target)!r} at this moment. Wait for "
            "it, or choose another output."
        ) from None
    except OSError as error:
        raise InputError(
            f"Nothing can be written into {str(target.parent)!r}: {error.strerror}."
        ) from error


def _undo_half_a_swap(work: StagingDir, target: Path) -> None:
    """Restore the old output if a run was killed while it replaced it."""
    if not work.replaced.exists():
        return
    real = target.resolve()
    if real.exists():
        work.clear()  # the new output is in its place
    else:
        work.replaced.rename(real)


def _fail(work: StagingDir, target: Path, error: BaseException) -> None:
    """Remove or keep what was written; add to `error` what is kept."""
    if not work.claimed and work.state.exists():
        return  # a mistyped option must not cost the work of an earlier run
    if target.exists() and not work.output.exists():
        shutil.rmtree(work.root, ignore_errors=True)  # interrupted when all was done
        return
    kept = work.kept()
    written = folder_bytes(work.root)
    if kept is None:
        shutil.rmtree(work.root, ignore_errors=True)
    if is_disk_full(error):
        way = "Nothing was left behind; free some space or choose an output on another disk."
        raise InputError(
            f"The disk that holds {str(target.parent)!r} is full: {written:,} bytes had been "
            f"written for {target.name!r}, and more are needed. "
            f"{f'Free some space. {kept}' if kept else way}"
        ) from error
    if kept is None:
        return
    if isinstance(error, MlmfastError):
        error.args = (f"{error} {kept}",)
    elif isinstance(error, KeyboardInterrupt):
        error.args = (kept,)
    else:
        error.add_note(kept)
