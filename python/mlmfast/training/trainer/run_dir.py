"""The folder beside the output in which a training keeps its checkpoints until it is done."""

from __future__ import annotations

import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlmfast.errors import InputError, MlmfastError, NotFoundError, OutputExistsError
from mlmfast.fs.atomic import is_disk_full
from mlmfast.training.trainer.checkpoints import is_complete, step_of, sweep, whole_checkpoints
from mlmfast.training.trainer.resume_changes import STATE_FILE, Change, read_arguments, told

logger = logging.getLogger(__name__)

_RUN_FILE = "mlmfast_run.json"
_AUTO = "auto"
_LOGS = "runs"
_SCHEDULER_FILE = "scheduler.pt"
_DEEPSPEED_FILE = "latest"  # names the folder with the states of optimizer and scheduler


class RunDir:
    """`OUTPUT.partial`: the checkpoints of a training that is not done, and what it trains on.

    Args:
        output: the folder the finished model will have.
        run: what must be the same for a later run to be a continuation of this one, as JSON: the
            data, and what decides which blocks a step reads.
        options: what a later run may change on demand, from its first step on.

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
        """List the whole checkpoints, oldest first."""
        return whole_checkpoints(self.path)

    def begin(
        self, resume: bool | str | Path | None, *, overwrite: bool, override: bool = False
    ) -> Path | None:
        """Make the folder ready and choose the checkpoint to go on from, None to begin anew.

        Args:
            resume: True for the latest checkpoint, "auto" for that or, where there is none, to
                begin anew; or the folder of one.
            overwrite: throw away the checkpoints of a training that was interrupted.
            override: take options that are not those of the checkpoint.

        Raises:
            NotFoundError: no checkpoint is there to go on from.
            OutputExistsError: there are checkpoints, and neither `resume` nor `overwrite`.
            InputError: the checkpoints belong to another training.
        """
        found = self.checkpoints()
        if not resume or (resume == _AUTO and not found):
            if found and not overwrite:
                raise OutputExistsError(
                    f"An interrupted training lies in {self.path}: go on with it "
                    "(--resume-from-checkpoint) or throw it away (--overwrite)."
                )
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(parents=True)
            self._write_run()
            return None
        if resume is True or resume == _AUTO:
            if not found:
                raise NotFoundError(
                    f"There is no checkpoint in {self.path}: leave --resume-from-checkpoint away, "
                    "or give it as --resume-from-checkpoint auto."
                )
            chosen = found[-1]
        else:
            chosen = Path(resume).absolute()
            if not (chosen / STATE_FILE).is_file():
                raise NotFoundError(f"There is no checkpoint of a training in {chosen}.")
            if not is_complete(chosen):
                raise InputError(
                    f"The checkpoint {chosen} is torn: files are missing or shorter than they were "
                    "written. Take another one, or begin anew with --overwrite."
                )
        self._check_same_run(chosen, override=override)
        if not any((chosen / name).exists() for name in (_SCHEDULER_FILE, _DEEPSPEED_FILE)):
            raise InputError(
                f"The checkpoint {chosen} holds weights alone (save_only_model), from which no "
                "training goes on as it was: give it as --model to a new one."
            )
        sweep(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_run()
        return chosen

    def _write_run(self) -> None:
        content = json.dumps(self.run | self.options, indent=2)
        (self.path / _RUN_FILE).write_text(content, encoding="utf-8")

    def _check_same_run(self, checkpoint: Path, *, override: bool) -> None:
        before, _ = read_arguments(checkpoint)
        with suppress(FileNotFoundError):  # of another program: its weights can still be continued
            noted = (checkpoint.parent / _RUN_FILE).read_text(encoding="utf-8")
            before = json.loads(noted) | before
        fixed, changes = (
            [
                Change(name, before[name], now)
                for name, now in part.items()
                if _other(before, name, now)
            ]
            for part in (self.run, self.options)
        )
        if not fixed and (override or not changes):
            self.changes = changes
            if changes:
                logger.warning("going on with other options from here on: %s", told(changes))
            return
        ways = ["give the same again"]
        if not fixed:
            ways.append("take the new one from the checkpoint's step on with --override")
        names = " and ".join(
            change.name if isinstance(change.after, list) else f"{change.name} ({_values(change)})"
            for change in fixed + changes
        )
        raise InputError(
            f"The checkpoints in {checkpoint.parent} belong to a training with another {names}: "
            f"{', '.join(ways)}, or begin anew with --overwrite."
        )

    def move_checkpoints_to(self, target: Path) -> None:
        """Move the checkpoints into a folder."""
        for checkpoint in self.checkpoints():
            shutil.move(checkpoint, target / checkpoint.name)

    def move_logs_to(self, target: Path) -> None:
        """Move what TensorBoard reads into a folder."""
        if (self.path / _LOGS).is_dir():
            shutil.move(self.path / _LOGS, target / _LOGS)

    def remove(self) -> None:
        """Remove the folder with all checkpoints."""
        shutil.rmtree(self.path, ignore_errors=True)

    def annotate_error(self, error: BaseException) -> BaseException:
        """Give the error to raise in the place of one: it tells what is left to go on from.

        The folder is removed if there is nothing.
        """
        found = self.checkpoints()
        if is_disk_full(error) and not isinstance(error, MlmfastError):
            error = InputError(
                f"The disk that holds {str(self.path.parent)!r} is full: no finished model could "
                "be written. Free some space."
            )
        if not found:
            self.remove()
        elif not isinstance(error, OutputExistsError | NotFoundError):
            kept = f"{found[-1]} is kept: --resume-from-checkpoint goes on from it."
            if isinstance(error, MlmfastError):
                error.args = (f"{error} {kept}", *error.args[1:])
            else:
                error.add_note(kept)
        return error

    def interrupt_message(self, stopped: str) -> str:
        """Say what a training that was stopped leaves behind, and how to go on with it.

        Args:
            stopped: why it ended, as the beginning of a sentence.
        """
        found = self.checkpoints()
        if not found:
            self.remove()
            return f"{stopped} before the first checkpoint: nothing was left behind."
        step = step_of(found[-1])
        return (
            f"{stopped}: the checkpoint of step {step} is in {self.path}, and the same command "
            "with --resume-from-checkpoint goes on from there to the finished model."
        )


def _other(before: dict[str, Any], name: str, now: Any) -> bool:
    """Whether an option was another one; those of later versions of mlmfast were not noted."""
    return name in before and before[name] != now


def _values(change: Change) -> str:
    return f"{change.before}, now {change.after}"
