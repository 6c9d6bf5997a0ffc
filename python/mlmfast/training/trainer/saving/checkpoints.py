"""Checkpoints that are written atomically, and a check that one is complete."""

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
from mlmfast.training.trainer.averaging.averaged_weights import AveragedWeights
from mlmfast.training.trainer.saving.resume_changes import STATE_FILE

FILES_FILE = "mlmfast_checkpoint.json"
CHECKPOINT = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")
# With fewer free bytes the disk is full, whatever error a library raises.
_FULL_BELOW = 1 << 20


def complete_checkpoints(folder: Path) -> list[Path]:
    """List the complete checkpoints in a folder, oldest first."""
    checkpoints = [
        (int(match[1]), path)
        for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if (match := CHECKPOINT.fullmatch(path.name)) and is_complete(path)
    ]
    return [path for _, path in sorted(checkpoints)]


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step of a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2])


def is_complete(checkpoint: Path) -> bool:
    """Return whether a checkpoint has all its files, with their original sizes.

    A checkpoint of another program has no list of files: it counts as complete if it has the state
    of the Trainer, which is written last.
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
    """Remove the partly written or partly removed checkpoints of a killed run."""
    for path in folder.glob(f".{PREFIX_CHECKPOINT_DIR}-*"):
        shutil.rmtree(path, ignore_errors=True)


class AtomicCheckpoints(AveragedWeights):
    """A Trainer that writes a checkpoint under a temporary name and renames it when it is complete.

    It removes old checkpoints afterwards: at any moment the last complete one exists, and at most
    `save_total_limit` besides the one in progress (one more if the best model is not the last).
    """

    _in_progress: Path | None = None

    def _get_output_dir(self, trial: Any) -> str:
        if self._in_progress is not None:
            return str(self._in_progress)
        return super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        home = Path(super()._get_output_dir(trial))
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        self._in_progress = partial = home / f".{name}.partial"
        try:
            if self.args.should_save:
                home.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(partial, ignore_errors=True)
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            self._rename_best(home)
            if self.args.should_save:
                self._publish(partial / name, home / name)
        except Exception as error:
            # Checked before the partial checkpoint is removed, which frees space.
            full = is_disk_full(error) or _is_full(home)
            written = folder_bytes(partial)
            if self.args.should_save:
                shutil.rmtree(partial, ignore_errors=True)
            if not full:
                raise
            raise InputError(_disk_full_message(home, name, written)) from error
        finally:
            self._in_progress = None
        if self.args.should_save:
            shutil.rmtree(partial, ignore_errors=True)
            self._remove_old(home)
        self.accelerator.wait_for_everyone()
        if self.args.push_to_hub:
            super()._push_from_checkpoint(str(home / name))

    def save_now(self) -> None:
        """Write a checkpoint of the current step."""
        self._save_checkpoint(self.model, None)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Upload only after the rename, which would break an upload in the background."""
        if self._in_progress is None:
            super()._push_from_checkpoint(checkpoint_folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self.args.device.type == "cpu" and self.args.device.index is not None:
            _let_torch_load_to_indexed_cpus()
        super()._load_optimizer_and_scheduler(checkpoint)

    def _rename_best(self, home: Path) -> None:
        """Give the best checkpoint in the state its final name."""
        best = self.state.best_model_checkpoint
        if best is not None and Path(best).parent == self._in_progress:
            self.state.best_model_checkpoint = str(home / Path(best).name)

    def _publish(self, written: Path, final: Path) -> None:
        self.state.save_to_json(str(written / STATE_FILE))
        files = sorted(path for path in written.rglob("*") if path.is_file())
        sizes = {str(path.relative_to(written)): path.stat().st_size for path in files}
        listed = json.dumps({"step": self.state.global_step, "files": sizes}, indent=1)
        (written / FILES_FILE).write_text(listed, encoding="utf-8")
        for path in [*files, written / FILES_FILE]:
            _fsync(path)
        if final.exists():  # of a run that has resumed from an earlier step
            _remove(final)
        written.rename(final)
        with suppress(OSError):  # some file systems cannot sync a folder
            _fsync(final.parent)

    def _remove_old(self, home: Path) -> None:
        limit = self.args.save_total_limit
        checkpoints = complete_checkpoints(home)
        if not limit or limit < 0 or len(checkpoints) <= limit:
            return
        kept = {checkpoints[-1], *(path for path in checkpoints if str(path) == self._best())}
        removable = [path for path in checkpoints if path not in kept]
        for path in removable[: len(checkpoints) - max(limit, len(kept))]:
            _remove(path)

    def _best(self) -> str | None:
        best = self.state.best_model_checkpoint
        return None if best is None else str(Path(best))


@functools.cache
def _let_torch_load_to_indexed_cpus() -> None:
    """Let torch.load restore to `cpu:0`, the name that accelerate uses for the CPU of a process."""
    torch.serialization.register_package(
        0,
        lambda _storage: None,
        lambda storage, place: storage if place.startswith("cpu:") else None,
    )


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint; rename it first, so that a partly removed one is never loaded."""
    hidden = checkpoint.with_name(f".{checkpoint.name}.removed")
    shutil.rmtree(hidden, ignore_errors=True)
    checkpoint.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _fsync(path: Path) -> None:
    """Sync a file: after a power cut, its name must not exist without its content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _FULL_BELOW
    except OSError:
        return False


def _disk_full_message(home: Path, name: str, written: int) -> str:
    return (
        f"The disk that holds {str(home)!r} is full: {written:,} bytes of {name} had been written, "
        f"and more are needed. Free some space, or choose an output on another disk."
    )
