"""`prepare` with `engine="ray"`, for a test: Ray's C++ side may end the process that it works in.

One argument, JSON: `inputs`, `output` and `options` of `prepare`, `unit_bytes`, `times` (how often
to run it) and `killed` (whether a task of each wave is killed once). RAY_ADDRESS names the cluster.
Its only line is JSON: the `type` and the `message` of the error, or null.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from mlmfast.data.prepare.api import prepare
from mlmfast.data.prepare.distributed import run
from mlmfast.errors import MlmfastError
from own_output import claim_standard_output


class KilledOnce:
    """A task that is killed once, by SIGKILL, when its file is half written."""

    def __init__(self, name: str, folder: Path, call: int) -> None:
        """Stand for a function of mlmfast.data.prepare.distributed.

        Args:
            name: module and function.
            folder: where it leaves a mark when it is killed.
            call: number of the unit or of the shard that is not finished.
        """
        self._name, self._folder, self._call = name, folder, call

    def __call__(self, job: Any, *args: Any) -> Any:
        module, function = self._name.split(".")
        task = getattr(
            importlib.import_module(f"mlmfast.data.prepare.distributed.{module}"), function
        )
        mark = self._folder / f"killed-{self._name}"
        mine = getattr(args[0], "number", None) == self._call or str(args[0]).endswith(
            f"{self._call:05d}.arrow"
        )
        if mine and not mark.exists():
            for writer in (pa.RecordBatchFileWriter, pa.RecordBatchStreamWriter):

                def write_batch(self, batch, write=writer.write_batch, mark=mark):
                    write(self, batch)
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)

                writer.write_batch = write_batch
        return task(job, *args)


def main(text: str) -> None:
    output = claim_standard_output()
    told = json.loads(text)
    run.UNIT_BYTES = told["unit_bytes"]
    if told["killed"]:
        folder = Path(told["output"]).parent
        run.tokenize_unit = KilledOnce("tokenize.tokenize_unit", folder, 3)
        run.write_part = KilledOnce("sharding.write_part", folder, 2)
    if told["times"] > 1:
        ray.init(logging_level="WARNING")  # once, instead of each time
    ended = None
    for _ in range(told["times"]):
        try:
            prepare(told["inputs"], told["output"], engine="ray", **told["options"])
        except MlmfastError as error:
            ended = {"type": type(error).__name__, "message": str(error)}
    print(json.dumps(ended), file=output)


if __name__ == "__main__":
    main(*sys.argv[1:])
