"""The folder beside the output in which a training keeps its checkpoints until it is done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mlmfast.errors import InputError, MlmfastError, NotFoundError, OutputExistsError
from mlmfast.training.checkpoints import STATE_FILE, is_whole, sweep, whole_checkpoints

RUN_FILE = "mlmfast_run.json"
LOGS = "runs"
SCHEDULER_FILE = "scheduler.pt"
DEEPSPEED_FILE = "latest"  # names the folder with the states of optimizer and scheduler


class WorkingFolder:
    """`OUTPUT.partial`: the checkpoints of a training that is not done, and what it trains on.

    Args:
        output: the folder the finished model will have.
        run: what must be the same for a later run to be a continuation of this one, as JSON.
    """

    def __init__(self, output: Path, run: dict[str, Any]) -> None:
        output = output.absolute()
        self.path = output.with_name(f"{output.name}.partial")
        self.run = json.loads(json.dumps(run))

    def checkpoints(self) -> list[Path]:
        """List the whole checkpoints, oldest first."""
        return whole_checkpoints(self.path)

    def begin(self, resume: bool | str | Path | None, *, overwrite: bool) -> Path | None:
        """Make the folder ready and choose the checkpoint to go on from, None to begin anew.

        Args:
            resume: True for the latest checkpoint, or the folder of one.
            overwrite: throw away the checkpoints of a training that was interrupted.

        Raises:
            NotFoundError: no checkpoint is there to go on from.
            OutputExistsError: there are checkpoints, and neither `resume` nor `overwrite`.
            InputError: the checkpoints belong to another training.
        """
        found = self.checkpoints()
        if not resume:
            if found and not overwrite:
                raise OutputExistsError(
                    f"An interrupted training lies in {self.path}: go on with it "
                    "(--resume-from-checkpoint) or throw it away (--overwrite)."
                )
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(parents=True)
            (self.path / RUN_FILE).write_text(json.dumps(self.run, indent=2), encoding="utf-8")
            return None
        if resume is True:
            if not found:
                raise NotFoundError(
                    f"There is no checkpoint in {self.path}: leave --resume-from-checkpoint away."
                )
            chosen = found[-1]
        else:
            chosen = Path(resume).absolute()
            if not (chosen / STATE_FILE).is_file():
                raise NotFoundError(f"There is no checkpoint of a training in {chosen}.")
            if not is_whole(chosen):
                raise InputError(
                    f"The checkpoint {chosen} is torn: files are missing or shorter than they were "
                    "written. Take another one, or begin anew with --overwrite."
                )
        self._check_same_run(chosen.parent / RUN_FILE)
        if not any((chosen / name).exists() for name in (SCHEDULER_FILE, DEEPSPEED_FILE)):
            raise InputError(
                f"The checkpoint {chosen} holds weights alone (save_only_model), from which no "
                "training goes on as it was: give it as --model to a new one."
            )
        sweep(self.path)
        return chosen

    def _check_same_run(self, file: Path) -> None:
        if not file.is_file():
            return  # a checkpoint of another program: its weights and steps can still be continued
        before = json.loads(file.read_text(encoding="utf-8"))
        changed = [key for key in self.run if before.get(key) != self.run[key]]
        if changed:
            raise InputError(
                f"The checkpoints in {file.parent} belong to a training with another "
                f"{' and '.join(changed)}: give the same again, or begin anew with --overwrite."
            )

    def keep(self, target: Path) -> None:
        """Move the checkpoints into a folder."""
        for checkpoint in self.checkpoints():
            shutil.move(checkpoint, target / checkpoint.name)

    def keep_logs(self, target: Path) -> None:
        """Move what TensorBoard reads into a folder."""
        if (self.path / LOGS).is_dir():
            shutil.move(self.path / LOGS, target / LOGS)

    def remove(self) -> None:
        """Remove the folder with all checkpoints."""
        shutil.rmtree(self.path, ignore_errors=True)

    def explain(self, error: BaseException) -> None:
        """Add to an error what is left to go on from; remove the folder if there is nothing."""
        found = self.checkpoints()
        if not found:
            self.remove()
        elif not isinstance(error, OutputExistsError | NotFoundError):
            kept = f"{found[-1]} is kept: --resume-from-checkpoint goes on from it."
            if isinstance(error, MlmfastError):
                error.args = (f"{error} {kept}", *error.args[1:])
            else:
                error.add_note(kept)

    def left(self) -> str:
        """Say what an interrupted training leaves behind, and how to go on with it."""
        found = self.checkpoints()
        if not found:
            self.remove()
            return "Interrupted before the first checkpoint: nothing was left behind."
        step = found[-1].name.partition("-")[2]
        return (
            f"Interrupted: the checkpoint of step {step} is in {self.path}, and no finished model "
            "was written. The same command with --resume-from-checkpoint goes on from there."
        )
