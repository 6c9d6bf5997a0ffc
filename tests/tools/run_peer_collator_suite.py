"""Run the peer's own tests of their collators with ours in the place of theirs.

    python tests/tools/run_peer_collator_suite.py PATH_TO/test_data_collator.py [pytest's arguments]

The file is `tests/trainer/test_data_collator.py` of transformers, of the version that is installed
(4.57 was run); it is theirs, so it is not in this repository. Without it there is nothing to run.
What fails is run once more with their own class: the exit status is 1 where that passes.

In transformers itself `DataCollatorForLanguageModeling` is replaced before the file is imported,
and so is `DataCollatorForWholeWordMask`, their old name of `whole_word_mask=True`. Only the tests
of two private functions of theirs are left out (`_calc_word_ids_and_prob_mask` and
`_whole_word_mask`, steps of a way to find words that ours does not go).
"""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest
import transformers

import mlmfast

QUIETLY = ("-p", "no:cacheprovider", "-q")
PRIVATE = "DataCollatorForLanguageModelingUnitTest"


class Replacement:
    """A plugin of pytest that puts our class in the place of theirs, and keeps what fails."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid.partition("::")[2])

    def pytest_sessionstart(self) -> None:
        ours = mlmfast.DataCollatorForLanguageModeling
        transformers.DataCollatorForLanguageModeling = ours
        transformers.DataCollatorForWholeWordMask = functools.partial(ours, whole_word_mask=True)

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        left_out = [item for item in items if f"::{PRIVATE}::" in item.nodeid]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def main(arguments: list[str]) -> int:
    """Run the file named first; the rest goes to pytest. Without a file, say so and skip."""
    if not arguments:
        print("skipped: name transformers' tests/trainer/test_data_collator.py to run it")
        return 0
    if not Path(arguments[0]).is_file():
        print(f"There is no file {arguments[0]!r}.", file=sys.stderr)
        return 2
    path, *rest = arguments
    replacement = Replacement()
    status = int(pytest.main([*QUIETLY, path, *rest], plugins=[replacement]))
    if status != pytest.ExitCode.TESTS_FAILED:
        return status
    ours_alone = [name for name in replacement.failed if passes_with_theirs(path, name)]
    for name in replacement.failed:
        why = "fails with ours alone" if name in ours_alone else "fails with theirs, too"
        print(f"{why}: {name}")
    return int(bool(ours_alone))


def passes_with_theirs(path: str, name: str) -> bool:
    """Run a test as it is, in a process whose transformers nobody has changed."""
    command = [sys.executable, "-m", "pytest", *QUIETLY, f"{path}::{name}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
