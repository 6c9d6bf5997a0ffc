"""Ctrl-C at every single instruction of our own that writes an output."""

from __future__ import annotations

import dis
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import mlmfast.fs
from mlmfast.fs.atomic import atomic_output_dir
from mlmfast.fs.lock import FileLock
from mlmfast.fs.staging import resumable

NOP = dis.opmap["NOP"]
OURS = str(Path(next(iter(mlmfast.fs.__path__))))


@contextmanager
def interrupted_at(moment: int) -> Iterator[Callable[[], bool]]:
    """Raise KeyboardInterrupt before the instruction `moment` of mlmfast.fs, once.

    CPython looks for signals between instructions, so that this is wherever a real Ctrl-C can come
    (and more, but not a NOP: the one of a `try` may lie outside of every handler). Yields a
    function that returns whether there were so many instructions.
    """
    left = moment

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(OURS) or left < 0:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_code.co_code[frame.f_lasti] != NOP:
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: left < 0
    finally:
        sys.settrace(before)


def write(writer: Any, target: Path, text: str) -> None:
    with writer(target, overwrite=True, is_ours=lambda _: True) as place:
        folder = getattr(place, "output", place)
        folder.mkdir(exist_ok=True)
        (folder / "mark").write_text(text)


def visible(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() or not any(path.iterdir()))
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else "" for path in files
    }


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("writer", [atomic_output_dir, resumable])
def test_an_output_is_whole_or_as_it_was(tmp_path, writer, old):
    allowed = [{"new/out/mark": old} if old else {}, {"new/out/mark": "text"}]
    moment = 0
    came = True
    while came:
        here = tmp_path / str(moment)
        here.mkdir()
        if old:
            write(writer, here / "new" / "out", old)
        where = ""
        try:
            with interrupted_at(moment) as has_come:
                write(writer, here / "new" / "out", "text")
        except KeyboardInterrupt:
            where = traceback.format_exc()
        came = has_come()
        assert visible(here) in allowed, where
        moment += 1
    assert moment > 100
    assert visible(here) == allowed[1]


def test_a_lock_is_never_left_held(tmp_path):
    moment = 0
    came = True
    while came:
        lock = FileLock(tmp_path / "lock")
        with suppress(KeyboardInterrupt), interrupted_at(moment) as has_come:
            try:
                lock.acquire()
                lock.release()
            finally:
                lock.release()
        came = has_come()
        other = FileLock(tmp_path / "lock")
        other.acquire()
        other.release()
        moment += 1
    assert moment > 10
