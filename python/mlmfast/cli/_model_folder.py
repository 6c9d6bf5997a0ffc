"""The ONNX folder behind MODEL: itself, or a checkpoint's export, made once and kept."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlmfast.errors import InputError, NotFoundError, first_line
from mlmfast.fs.cache import cache_dir, digest
from mlmfast.fs.lock import FileLock
from mlmfast.fs.paths import as_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_GRAPHS = ("fill_mask.onnx", "model.onnx")
# Of larger files the two ends, the size and the time of writing are taken.
_READ_WHOLE = 16 << 20
END = 1 << 20


def model_folder(name: str, *, quiet: bool) -> Path:
    """Return the ONNX folder of `name`; a checkpoint is exported into the cache the first time.

    Where several processes want the same export, one makes it and the others wait.

    Args:
        name: an ONNX folder, a folder of a checkpoint, or a name on the Hub.
        quiet: do not say that an export is made.

    Raises:
        NotFoundError: it is neither a folder nor a name that the Hub or its cache knows.
        InputError: the checkpoint cannot be exported, or the cache cannot be written.
    """
    folder = as_path(name, home=True)
    if any((folder / graph).is_file() for graph in _GRAPHS):
        return folder
    if folder.exists():
        if not (folder / "config.json").is_file():
            return folder  # FillMask says what it is not
        key = _key(_of_folder(folder))
    else:
        key = _key([_of_hub(name)])
    kept = cache_dir("exports") / key
    if (kept / "config.json").is_file():
        return kept
    with _alone(kept, name, quiet=quiet):
        if not (kept / "config.json").is_file():
            _export(str(folder) if folder.exists() else name, kept, quiet=quiet)
    return kept


def _export(checkpoint: str, kept: Path, *, quiet: bool) -> None:
    if not quiet:
        click.echo(
            f"{checkpoint} is a checkpoint: exporting it once into {kept} "
            "(about a minute for a base-sized model) ...",
            err=True,
        )
    for left in kept.parent.glob(f".{kept.name}.partial-*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    from mlmfast.exporting.export import export

    export(checkpoint, kept)


@contextmanager
def _alone(kept: Path, name: str, *, quiet: bool) -> Iterator[None]:
    """Let one process at a time write `kept`; the others wait, and find it there.

    Raises:
        InputError: the cache cannot be written.
    """
    file = kept.with_name(f"{kept.name}.lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(file)
        except BlockingIOError:
            if not quiet:
                click.echo(f"Another process is exporting {name}: waiting for it ...", err=True)
            lock = FileLock(file, wait=True)
    except OSError as error:
        raise InputError(
            f"The export of {name} cannot be kept in {file.parent}: {error.strerror}. Set "
            "XDG_CACHE_HOME to a folder that can be written, or export it by yourself: "
            f"mlmfast export {name} ONNX_FOLDER"
        ) from error
    try:
        yield
        # Whoever waits for the file that is gone finds the export made, and whoever makes the file
        # anew does too.
        file.unlink(missing_ok=True)
    finally:
        lock.release()


def _key(parts: Iterable[bytes]) -> str:
    from importlib.metadata import version

    sized = (len(part).to_bytes(8, "little") + part for part in parts)
    return digest([version("mlmfast").encode(), *sized])


def _of_folder(folder: Path) -> list[bytes]:
    return [part for file in sorted(folder.iterdir()) if file.is_file() for part in _of_file(file)]


def _of_file(file: Path) -> Iterator[bytes]:
    yield file.name.encode()
    told = file.stat()
    if told.st_size <= _READ_WHOLE:
        yield file.read_bytes()
        return
    yield f"{told.st_size} {told.st_mtime_ns}".encode()
    with file.open("rb") as opened:
        yield opened.read(END)
        opened.seek(-END, os.SEEK_END)
        yield opened.read(END)


def _of_hub(name: str) -> bytes:
    """Find the commit of a model on the Hub, or of its copy in the Hub's cache."""
    from mlmfast.exporting.checkpoint import HUB_NAME

    if not HUB_NAME.fullmatch(name):
        raise NotFoundError(f"There is no folder {name}.")
    try:
        from huggingface_hub import hf_hub_download

        config = Path(hf_hub_download(name, "config.json"))
    except ImportError as error:
        raise NotFoundError(
            f"There is no folder {name}, and without huggingface_hub no model is fetched by name: "
            "pip install 'mlmfast[export,cpu]'"
        ) from error
    except Exception as error:  # the Hub's errors share no base with those of its connection
        raise NotFoundError(
            f"There is no folder {name}, and the Hub gives no such model: {first_line(error)}"
        ) from error
    return f"{name} {config.parent.name}".encode()
