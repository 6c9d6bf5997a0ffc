"""The run directory: a folder beside the output that holds the checkpoints of a training."""

from __future__ import annotations

import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlmfast.errors import InputError, MlmfastError, NotFoundError, OutputExistsError
from mlmfast.fs.atomic import is_disk_full
from mlmfast.training.trainer.saving.checkpoints import (
    complete_checkpoints,
    is_complete,
    step_of,
    sweep,
)
from mlmfast.training.trainer.saving.phase_changes import phase_changes
from mlmfast.training.trainer.saving.resume_changes import (
    STATE_FILE,
    Change,
    describe_changes,
    read_arguments,
)

logger = logging.getLogger(__name__)

_RUN_FILE = "mlmfast_run.json"
PHASES = "phases"
"""The phases of a recipe in what a run records."""
_AUTO = "auto"
_LOGS = "runs"
_SCHEDULER_FILE = "scheduler.pt"
_DEEPSPEED_FILE = "latest"  # names the folder with the states of optimizer and scheduler


def recorded_run(checkpoint: Path) -> dict[str, Any]:
    """Return what the training of a checkpoint recorded about itself; empty if it did not."""
    return _recorded(checkpoint.parent)


class RunDir:
    """`OUTPUT.partial`: the checkpoints of an unfinished training, and what it trains on.

    Args:
        output: the folder of the finished model.
        run: what a resume cannot change, as values of JSON: the data, and the options that decide
            which blocks a step reads. Of the phases of a recipe (`PHASES`, a list of
            `PhaseRecord`), `override` can change those that have not begun.
        options: the options that a resume can change with `override`.

    Attributes:
        changes: the options that this run changed.
    """

    def __init__(
        self, output: Path, run: dict[str, Any], options: dict[str, Any] | None = None
    ) -> None:
        output = output.absolute()
        self.path = output.with_name(f"{output.name}.partial")
        self.run = json.loads(json.dumps(run))
        self.options = json.loads(json.dumps(options or {}))
        self.changes: list[Change] = []

    def checkpoints(self) -> list[Path]:
        """List the complete checkpoints, oldest first."""
        return complete_checkpoints(self.path)

    def choose(self, resume: bool | str | Path | None, *, overwrite: bool) -> Path | None:
        """Choose the checkpoint to resume from; None for a new training. Nothing is written.

        Args:
            resume: True for the latest checkpoint; "auto" for the latest, or a new training if
                there is none; or the folder of a checkpoint.
            overwrite: whether the checkpoints of an interrupted training may be deleted.

        Raises:
            NotFoundError: there is no checkpoint to resume from.
            OutputExistsError: there are checkpoints, and neither `resume` nor `overwrite` is set.
            InputError: the checkpoint is incomplete.
        """
        checkpoints = self.checkpoints()
        if not resume or (resume == _AUTO and not checkpoints):
            if checkpoints and not overwrite:
                raise OutputExistsError(
                    f"An interrupted training is in {self.path}: resume it "
                    "(--resume-from-checkpoint) or delete it (--overwrite)."
                )
            return None
        if resume is True or resume == _AUTO:
            if not checkpoints:
                raise NotFoundError(
                    f"There is no checkpoint in {self.path}: leave out --resume-from-checkpoint, "
                    "or use --resume-from-checkpoint auto."
                )
            return checkpoints[-1]
        chosen = Path(resume).absolute()
        if not (chosen / STATE_FILE).is_file():
            raise NotFoundError(f"There is no checkpoint of a training in {chosen}.")
        if not is_complete(chosen):
            raise InputError(
                f"The checkpoint {chosen} is torn: files are missing or truncated. Resume from "
                "another one, or start a new training with --overwrite."
            )
        return chosen

    def begin(
        self, resume: bool | str | Path | None, *, overwrite: bool, override: bool = False
    ) -> Path | None:
        """Create the folder and choose the checkpoint to resume from; None for a new training.

        Args:
            resume: as in `choose`.
            overwrite: delete the checkpoints of an interrupted training.
            override: accept options that differ from those of the checkpoint.

        Raises:
            NotFoundError: there is no checkpoint to resume from.
            OutputExistsError: there are checkpoints, and neither `resume` nor `overwrite` is set.
            InputError: the checkpoint is of another training, or incomplete.
        """
        chosen = self.choose(resume, overwrite=overwrite)
        if chosen is None:
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(parents=True)
            self._write_run()
            return None
        self._check_same_run(chosen, override=override)
        if not any((chosen / name).exists() for name in (_SCHEDULER_FILE, _DEEPSPEED_FILE)):
            raise InputError(
                f"The checkpoint {chosen} holds weights only (save_only_model) and cannot "
                "resume a training: give it as --model to a new one."
            )
        sweep(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_run()
        return chosen

    def _write_run(self) -> None:
        content = json.dumps(self.run | self.options, indent=2)
        (self.path / _RUN_FILE).write_text(content, encoding="utf-8")

    def _check_same_run(self, checkpoint: Path, *, override: bool) -> None:
        before = _recorded(checkpoint.parent) | read_arguments(checkpoint)[0]
        fixed, changes = (
            [
                Change(name, before[name], now)
                for name, now in part.items()
                if _is_changed(before, name, now)
            ]
            for part in (self.run, self.options)
        )
        phases, recorded = self.run.get(PHASES), before.get(PHASES)
        if isinstance(phases, list) and isinstance(recorded, list):
            begun, later = phase_changes(recorded, phases, _step_in(checkpoint))
            fixed = [*(change for change in fixed if change.name != PHASES), *begun]
            changes += later
        if not fixed and (override or not changes):
            self.changes = changes
            if changes:
                logger.warning("resuming with other options: %s", describe_changes(changes))
            return
        ways = ["give the same again"]
        if not fixed:
            ways.append("resume with the new one by --override")
        names = " and ".join(
            f"{change.name} ({_values(change)})" if _is_short(change) else change.name
            for change in fixed + changes
        )
        raise InputError(
            f"The checkpoints in {checkpoint.parent} belong to a training with another {names}: "
            f"{', '.join(ways)}, or start a new training with --overwrite."
        )

    def move_checkpoints_to(self, target: Path) -> None:
        """Move the checkpoints into a folder."""
        for checkpoint in self.checkpoints():
            shutil.move(checkpoint, target / checkpoint.name)

    def move_logs_to(self, target: Path) -> None:
        """Move the logs for TensorBoard into a folder."""
        if (self.path / _LOGS).is_dir():
            shutil.move(self.path / _LOGS, target / _LOGS)

    def remove(self) -> None:
        """Remove the folder with all checkpoints."""
        shutil.rmtree(self.path, ignore_errors=True)

    def annotate_error(self, error: BaseException) -> BaseException:
        """Return the error to raise in place of this one: it names the checkpoint to resume from.

        Without a checkpoint, the folder is removed.
        """
        checkpoints = self.checkpoints()
        if is_disk_full(error) and not isinstance(error, MlmfastError):
            error = InputError(
                f"The disk that holds {str(self.path.parent)!r} is full: no finished model could "
                "be written. Free some space."
            )
        if not checkpoints:
            self.remove()
        elif not isinstance(error, OutputExistsError | NotFoundError):
            kept = f"{checkpoints[-1]} is kept: --resume-from-checkpoint resumes from it."
            if isinstance(error, MlmfastError):
                error.args = (f"{error} {kept}", *error.args[1:])
            else:
                error.add_note(kept)
        return error

    def interrupt_message(self, reason: str) -> str:
        """Describe what an interrupted training leaves behind, and how to resume it.

        Args:
            reason: why it ended, as the beginning of a sentence.
        """
        checkpoints = self.checkpoints()
        if not checkpoints:
            self.remove()
            return f"{reason} before the first checkpoint: nothing was left behind."
        step = step_of(checkpoints[-1])
        return (
            f"{reason}: the checkpoint of step {step} is in {self.path}, and the same command "
            "with --resume-from-checkpoint resumes from it."
        )


def _is_changed(before: dict[str, Any], name: str, now: Any) -> bool:
    """Whether an option differs; earlier versions of mlmfast did not record all options."""
    return name in before and before[name] != now


def _recorded(folder: Path) -> dict[str, Any]:
    """Return what the run of the checkpoints in a folder recorded."""
    with suppress(FileNotFoundError):  # checkpoints of another program have no such file
        return dict(json.loads((folder / _RUN_FILE).read_text(encoding="utf-8")))
    return {}


def _step_in(checkpoint: Path) -> int:
    """Return the step of a checkpoint, whatever its folder is called."""
    return int(json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))["global_step"])


def _is_short(change: Change) -> bool:
    return not isinstance(change.before, list) and not isinstance(change.after, list)


def _values(change: Change) -> str:
    return f"{change.before}, now {change.after}"
