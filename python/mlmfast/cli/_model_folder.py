"""The ONNX folder of MODEL: the folder itself, or the cached export of a checkpoint."""

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
from mlmfast.peft_models import base_of, is_adapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_GRAPHS = ("fill_mask.onnx", "model.onnx", "sparse.onnx")
# Of larger files, the key depends on both ends, the size and the time of the last change.
_READ_WHOLE = 16 << 20
END = 1 << 20


def model_folder(name: str, *, quiet: bool, task: str = "fill-mask") -> Path:
    """Return the ONNX folder of `name`; export a checkpoint into the cache if it is not there.

    If several processes need the same export, one makes it and the others wait.

    Args:
        name: an ONNX folder, a folder of a checkpoint, or a name on the Hub.
        quiet: print no message about the export.
        task: what a checkpoint is exported for: "fill-mask" or "sparse".

    Raises:
        NotFoundError: there is no such folder, and no such model on the Hub or in its cache.
        InputError: the checkpoint cannot be exported, or the cache cannot be written.
    """
    folder = as_path(name, home=True)
    if any((folder / graph).is_file() for graph in _GRAPHS):
        return folder
    if folder.exists():
        described = any((folder / file).is_file() for file in ("config.json", "modules.json"))
        if not (described or is_adapter(folder)):
            return folder  # FillMask raises an error that says what is missing
        # A model of sentence-transformers has its pooling, and may have its weights, in subfolders.
        key = _key(_parts_of_folder(folder, "**/*" if task == "sparse" else "*"))
    else:
        key = _key([_hub_commit(name)])
    if task != "fill-mask":
        key += f"-{task}"
    cached = cache_dir("exports") / key
    if (cached / "config.json").is_file():
        return cached
    with _locked(cached, name, quiet=quiet):
        if not (cached / "config.json").is_file():
            _export(str(folder) if folder.exists() else name, cached, task, quiet=quiet)
    return cached


def _export(checkpoint: str, output: Path, task: str, *, quiet: bool) -> None:
    if not quiet:
        click.echo(
            f"{checkpoint} is a checkpoint: exporting it once into {output} "
            "(about a minute for a base-sized model) ...",
            err=True,
        )
    for partial in output.parent.glob(f".{output.name}.partial-*"):  # of a killed process
        shutil.rmtree(partial, ignore_errors=True)
    from mlmfast.exporting.export import export

    export(checkpoint, output, task=task)


@contextmanager
def _locked(output: Path, name: str, *, quiet: bool) -> Iterator[None]:
    """Hold the lock of `output`, so that one process writes it and the others wait for it.

    Raises:
        InputError: the cache cannot be written.
    """
    file = output.with_name(f"{output.name}.lock")
    lock = FileLock(file)
    try:
        _acquire(lock, file, name, quiet=quiet)
        yield
        # Safe to remove: a process that waits for it, or creates it again, finds the export.
        file.unlink(missing_ok=True)
    finally:
        lock.release()


def _acquire(lock: FileLock, file: Path, name: str, *, quiet: bool) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except BlockingIOError:
            if not quiet:
                click.echo(f"Another process is exporting {name}: waiting for it ...", err=True)
            lock.acquire(wait=True)
    except OSError as error:
        raise InputError(
            f"The export of {name} cannot be kept in {file.parent}: {error.strerror}. Set "
            "XDG_CACHE_HOME to a folder that can be written, or export it by yourself: "
            f"mlmfast export {name} ONNX_FOLDER"
        ) from error


def _key(parts: Iterable[bytes]) -> str:
    from importlib.metadata import version

    sized = (len(part).to_bytes(8, "little") + part for part in parts)
    return digest([version("mlmfast").encode(), *sized])


def _parts_of_folder(folder: Path, pattern: str = "*") -> list[bytes]:
    parts = [
        part
        for file in sorted(folder.glob(pattern))
        if file.is_file()
        for part in _parts_of_file(file, file.relative_to(folder).as_posix())
    ]
    if is_adapter(folder) and (base := as_path(base_of(folder))).is_dir():
        parts += _parts_of_folder(base, pattern)
    return parts


def _parts_of_file(file: Path, name: str) -> Iterator[bytes]:
    yield name.encode()
    status = file.stat()
    if status.st_size <= _READ_WHOLE:
        yield file.read_bytes()
        return
    yield f"{status.st_size} {status.st_mtime_ns}".encode()
    with file.open("rb") as opened:
        yield opened.read(END)
        opened.seek(-END, os.SEEK_END)
        yield opened.read(END)


def _hub_commit(name: str) -> bytes:
    """Return the name and commit of a model on the Hub, or in the Hub's cache."""
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
