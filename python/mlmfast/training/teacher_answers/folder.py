"""A folder with the teacher's answers: `AnswerFolder`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, OutputExistsError, StoreError, first_line
from mlmfast.fs.atomic import write_atomic
from mlmfast.fs.checksums import checksum_of
from mlmfast.fs.paths import is_stray
from mlmfast.training.teacher_answers.form import AnswerForm
from mlmfast.training.teacher_answers.part import read_part, write_part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch

MANIFEST = "teacher_answers.json"
_VERSION = 1


class AnswerFolder:
    """The answers of one teacher for one data set, seed and kind of masks, by epoch.

    The folder has a manifest, and for each epoch files of `form.items_per_part` blocks. A file is
    whole if it is there; those that are missing can be added at any time.

    Args:
        path: the folder.
        made_of: what the answers depend on, in values of JSON.
        form: what is stored of each.
    """

    def __init__(self, path: Path, made_of: Mapping[str, Any], form: AnswerForm) -> None:
        self.path = path
        self.made_of = dict(made_of)
        self.form = form
        self.items: int = self.made_of["items"]
        self._key = checksum_of(self._content())
        # The open files of one epoch.
        self._open: dict[tuple[int, int], dict[str, torch.Tensor]] = {}

    @classmethod
    def open(cls, path: Path, made_of: Mapping[str, Any], top_k: int) -> AnswerFolder | None:
        """Open a folder, if there is one, for what a training needs.

        Args:
            path: the folder.
            made_of: what the answers of the training depend on.
            top_k: how many logits of a token it wants.

        Raises:
            InputError: its answers belong to something else.
            StoreError: the manifest is damaged.
            OutputExistsError: the folder holds something else.
        """
        manifest = path / MANIFEST
        if not manifest.is_file():
            _check_empty(path)
            return None
        content = _read_manifest(manifest)
        version = content["version"]
        if version != _VERSION:
            raise StoreError(
                f"{path} has answers in version {version} of their format, and this mlmfast reads "
                f"version {_VERSION}: give another folder (--teacher-answers)."
            )
        form = AnswerForm.from_dict(content["form"])
        before = content["made_of"] | {"teacher_top_k": form.top_k}
        _check_same(path, before, {**made_of, "teacher_top_k": top_k})
        return cls(path, made_of, form)

    def begin(self, epochs: int) -> list[tuple[int, int]]:
        """Write the manifest, and remove what a killed process has left; see `missing`."""
        for leftover in self.path.glob(".*.partial-*"):
            leftover.unlink(missing_ok=True)
        content = self._content()
        text = json.dumps(content | {"checksum": checksum_of(content)}, indent=1, sort_keys=True)
        write_atomic(self.path / MANIFEST, text.encode())
        return self.missing(epochs)

    @property
    def parts(self) -> int:
        """Files of an epoch."""
        return -(-self.items // self.form.items_per_part)

    def items_of(self, number: int) -> range:
        """Return the blocks (or packed rows) of a file."""
        first = number * self.form.items_per_part
        return range(first, min(first + self.form.items_per_part, self.items))

    def missing(self, epochs: int) -> list[tuple[int, int]]:
        """List the files that are missing in the first epochs, as (epoch, number)."""
        wanted = ((epoch, number) for epoch in range(epochs) for number in range(self.parts))
        return [each for each in wanted if not self._file(*each).is_file()]

    def write(self, epoch: int, number: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Write a file, with the answers to the blocks `items_of(number)`.

        Args:
            epoch: the epoch.
            number: the file, from 0.
            tensors: `starts`, int64 `[items + 1]`, where the masked tokens of each block start; and
                for M of these `ids` `[M, K]`, `logits` `[M, K]`, `rest` `[M, T]`, `hidden`
                `[M, H]`, as far as `form` has them.
        """
        write_part(self._file(epoch, number), tensors, self._about(epoch, number))

    def read(self, epoch: int, item: int) -> dict[str, torch.Tensor]:
        """Return the answers to a block in an epoch, without a copy; see `write`.

        Raises:
            StoreError: they are not there, or the file is damaged.
        """
        number, within = divmod(item, self.form.items_per_part)
        part = self._open.get((epoch, number))
        if part is None:
            for other in [each for each in self._open if each[0] != epoch]:
                self._open.pop(other, None)
            part = self._open[epoch, number] = self._read(epoch, number)
        first, stop = part["starts"][within : within + 2].tolist()
        return {name: each[first:stop] for name, each in part.items() if name != "starts"}

    def verify(self, epochs: int, advance: Callable[[int], object] = lambda _: None) -> None:
        """Compare all bytes of the first epochs with their checksums.

        Args:
            epochs: how many.
            advance: called with 1 after each file.

        Raises:
            StoreError: a file is missing or damaged.
        """
        for epoch in range(epochs):
            for number in range(self.parts):
                self._read(epoch, number, verify=True)
                advance(1)

    def _read(self, epoch: int, number: int, *, verify: bool = False) -> dict[str, torch.Tensor]:
        file = self._file(epoch, number)
        if not file.is_file():
            raise StoreError(
                f"The teacher's answers in {self.path} lack {file.name}, which this process needs: "
                "the folder must be the same for all processes (a shared disk), and nothing may "
                "remove files during a training."
            )
        return read_part(file, self._about(epoch, number), verify=verify)

    def _file(self, epoch: int, number: int) -> Path:
        return self.path / f"epoch-{epoch:05}-part-{number:05}.safetensors"

    def _about(self, epoch: int, number: int) -> dict[str, Any]:
        return {"answers": self._key, "epoch": epoch, "part": number}

    def _content(self) -> dict[str, Any]:
        return {"version": _VERSION, "made_of": self.made_of, "form": self.form.to_dict()}


def _read_manifest(manifest: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        reason = "" if content["checksum"] == checksum_of(content) else "its checksum is another"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = first_line(error)
    if reason:
        raise StoreError(
            f"{manifest} is damaged ({reason}): delete the folder, and the next training computes "
            "the teacher's answers again."
        )
    return content


def _check_empty(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise OutputExistsError(
            f"teacher_answers is {str(path)!r}, which is a file; it should be the name of a folder."
        )
    # Hidden files: the lock, and what was being written when a process was killed.
    if path.is_dir() and not all(is_stray(each) or each.name[0] == "." for each in path.iterdir()):
        raise OutputExistsError(
            f"The folder {str(path)!r} holds something other than a teacher's answers: give an "
            "empty or a new one (--teacher-answers)."
        )


def _check_same(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if not names:
        return
    listed = " and ".join(
        f"{name} ({_shown(before.get(name))}, now {_shown(now.get(name))})" for name in names
    )
    raise InputError(
        f"The teacher's answers in {path} were computed with another {listed}: give the same "
        "again, or another folder (--teacher-answers)."
    )


def _shown(value: Any) -> str:
    text = str(value)
    is_checksum = len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)
    return text[:12] if is_checksum else text
