"""Checkpoints that appear whole or not at all, and how a whole one is told."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from mlmfast.errors import InputError
from mlmfast.fs.atomic import folder_bytes, is_disk_full
from mlmfast.training.trainer.resume_changes import STATE_FILE
from mlmfast.training.trainer.resume_states import ResumedArguments

FILES_FILE = "mlmfast_checkpoint.json"
CHECKPOINT = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")
# A disk with less than this is full, whatever words a library has for it.
_NOTHING_LEFT = 1 << 20


def whole_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints in a folder, oldest first; those that lack something stay out."""
    found = [
        (int(match[1]), path)
        for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if (match := CHECKPOINT.fullmatch(path.name)) and is_complete(path)
    ]
    return [path for _, path in sorted(found)]


def step_of(checkpoint: Path) -> int:
    """Give the number of optimizer steps after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def is_complete(checkpoint: Path) -> bool:
    """Tell whether a checkpoint has all its files, in the sizes that they were written with.

    Checkpoints of other programs do not list them; the Trainer's state, which it writes last, must
    do.
    """
    if not (checkpoint / STATE_FILE).is_file():
        return False
    try:
        sizes = json.loads((checkpoint / FILES_FILE).read_text(encoding="utf-8"))["files"]
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except FileNotFoundError:
        return not (checkpoint / FILES_FILE).exists()
    except (OSError, ValueError, KeyError):
        return False


def sweep(folder: Path) -> None:
    """Remove what a run that was killed left half written or half removed."""
    for path in folder.glob(f".{PREFIX_CHECKPOINT_DIR}-*"):
        shutil.rmtree(path, ignore_errors=True)


class AtomicCheckpoints(ResumedArguments):
    """A Trainer whose checkpoints are written under another name, and renamed once they are whole.

    Old ones are removed afterwards: at any moment, the last good one is there, and never more than
    `save_total_limit` beside the one in the making (one more where the best model is not the last).
    """

    _in_the_making: Path | None = None

    def _get_output_dir(self, trial: Any) -> str:
        if self._in_the_making is not None:
            return str(self._in_the_making)
        return super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        home = Path(super()._get_output_dir(trial))
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        self._in_the_making = partial = home / f".{name}.partial"
        try:
            if self.args.should_save:
                home.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(partial, ignore_errors=True)
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            self._name_best(home)
            if self.args.should_save:
                self._publish(partial / name, home / name)
        except Exception as error:
            # Asked before the room is given back.
            full = is_disk_full(error) or _is_full(home)
            written = folder_bytes(partial)
            if self.args.should_save:
                shutil.rmtree(partial, ignore_errors=True)
            if not full:
                raise
            raise InputError(_no_room(home, name, written)) from error
        finally:
            self._in_the_making = None
        if self.args.should_save:
            shutil.rmtree(partial, ignore_errors=True)
            self._remove_old(home)
        self.accelerator.wait_for_everyone()
        if self.args.push_to_hub:
            super()._push_from_checkpoint(str(home / name))

    def save_now(self) -> None:
        """Write a checkpoint of the present step."""
        self._save_checkpoint(self.model, None)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Upload when the folder has its name; an upload in the background would lose it."""
        if self._in_the_making is None:
            super()._push_from_checkpoint(checkpoint_folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self.args.device.type == "cpu" and self.args.device.index is not None:
            _let_torch_load_to_numbered_cpus()
        super()._load_optimizer_and_scheduler(checkpoint)

    def _name_best(self, home: Path) -> None:
        best = self.state.best_model_checkpoint
        if best is not None and Path(best).parent == self._in_the_making:
            self.state.best_model_checkpoint = str(home / Path(best).name)

    def _publish(self, written: Path, final: Path) -> None:
        self.state.save_to_json(str(written / STATE_FILE))
        files = sorted(path for path in written.rglob("*") if path.is_file())
        sizes = {str(path.relative_to(written)): path.stat().st_size for path in files}
        listed = json.dumps({"step": self.state.global_step, "files": sizes}, indent=1)
        (written / FILES_FILE).write_text(listed, encoding="utf-8")
        for path in [*files, written / FILES_FILE]:
            _to_disk(path)
        if final.exists():  # of a run that went back behind this step
            _remove(final)
        written.rename(final)
        with suppress(OSError):  # folders of some file systems cannot be waited for
            _to_disk(final.parent)

    def _remove_old(self, home: Path) -> None:
        limit = self.args.save_total_limit
        found = whole_checkpoints(home)
        if not limit or limit < 0 or len(found) <= limit:
            return
        kept = {found[-1], *(path for path in found if str(path) == self._best())}
        others = [path for path in found if path not in kept]
        for path in others[: len(found) - max(limit, len(kept))]:
            _remove(path)

    def _best(self) -> str | None:
        best = self.state.best_model_checkpoint
        return None if best is None else str(Path(best))


@functools.cache
def _let_torch_load_to_numbered_cpus() -> None:
    """Accelerate numbers the CPUs of several processes, `cpu:0`; torch.load knows `cpu` alone."""
    torch.serialization.register_package(
        0,
        lambda _storage: None,
        lambda storage, place: storage if place.startswith("cpu:") else None,
    )


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint so that half of it is never taken for a checkpoint."""
    hidden = checkpoint.with_name(f".{checkpoint.name}.removed")
    shutil.rmtree(hidden, ignore_errors=True)
    checkpoint.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """Wait until the disk has it: a name must not outlive a power cut that its content does not."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _NOTHING_LEFT
    except OSError:
        return False


def _no_room(home: Path, name: str, written: int) -> str:
    return (
        f"The disk that holds {str(home)!r} is full: {written:,} bytes of {name} had been written, "
        f"and more are needed. Free some space, or choose an output on another disk."
    )
