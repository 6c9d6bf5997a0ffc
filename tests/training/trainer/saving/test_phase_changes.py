"""Which phases of a recipe a resume may change: those that have not begun."""

from __future__ import annotations

import pytest

from mlmfast.errors import InputError
from mlmfast.training.trainer.saving.phase_changes import phase_changes
from mlmfast.training.trainer.saving.run_dir import PHASES, RunDir, recorded_run


def phase(name, steps, data="d" * 64):
    return {"name": name, "steps": steps, "what": f"{steps} steps", "data": data}


BEFORE = [phase("one", 5), phase("two", 3), phase("three", 4)]


@pytest.mark.parametrize(
    ("now", "step", "begun", "later"),
    [
        (BEFORE, 6, [], []),
        ([*BEFORE[:2], phase("three", 9)], 6, [], ["phase 3 (three) 4 steps -> 9 steps"]),
        # At the end of a phase, the next one has not begun; a step later it has.
        ([BEFORE[0], phase("two", 9), BEFORE[2]], 5, [], ["phase 2 (two) 3 steps -> 9 steps"]),
        ([BEFORE[0], phase("two", 9), BEFORE[2]], 6, ["phase 2 (two) 3 steps -> 9 steps"], []),
        (BEFORE[:2], 8, [], ["phase 3 (three) 4 steps -> none"]),
        (BEFORE[:2], 9, ["phase 3 (three) 4 steps -> none"], []),
        ([*BEFORE, phase("more", 1)], 12, [], ["phase 4 (more) none -> 1 steps"]),
        (
            [phase("one", 5, "e" * 64), *BEFORE[1:]],
            1,
            [
                "phase 1 (one) "
                + " -> ".join(f"blocks with the checksum {each * 12}" for each in "de")
            ],
            [],
        ),
        (
            [BEFORE[0], phase("2", 3), BEFORE[2]],
            5,
            [],
            ["phase 2 (2) named two -> named 2"],
        ),
        (
            [BEFORE[0], BEFORE[2]],
            3,
            [],
            ["phase 2 (three) 3 steps -> 4 steps", "phase 3 (three) 4 steps -> none"],
        ),
    ],
)
def test_changes_are_those_of_phases_that_have_begun_and_of_later_ones(now, step, begun, later):
    found = phase_changes(BEFORE, now, step)
    assert [list(map(str, changes)) for changes in found] == [begun, later]


def checkpoint_at(output, step, phases):
    """A checkpoint as far as a resume compares it."""
    partial = RunDir(output, {"data": None, PHASES: phases, "seed": 0})
    partial.begin(None, overwrite=True)
    folder = partial.path / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
    (folder / "scheduler.pt").touch()
    return folder


def test_a_later_phase_is_changed_by_override_alone(tmp_path):
    folder = checkpoint_at(tmp_path / "model", 6, BEFORE)
    later = [*BEFORE[:2], phase("three", 9)]
    run = RunDir(tmp_path / "model", {"data": None, PHASES: later, "seed": 0})
    with pytest.raises(InputError, match=r"another phase 3 \(three\) \(4 steps, now 9.*--override"):
        run.begin(str(folder), overwrite=False)
    assert run.begin(str(folder), overwrite=False, override=True) == folder
    assert list(map(str, run.changes)) == ["phase 3 (three) 4 steps -> 9 steps"]
    assert recorded_run(folder)[PHASES] == later
    begun = RunDir(tmp_path / "model", {"data": None, PHASES: [phase("one", 6)], "seed": 0})
    with pytest.raises(InputError, match=r"another phase 1 \(one\) .*5 steps, now 6") as refused:
        begun.begin(str(folder), overwrite=False, override=True)
    assert "--override" not in str(refused.value)
    other = RunDir(tmp_path / "model", {"data": ["a", 5], "seed": 0})
    with pytest.raises(InputError, match="training with another data"):
        other.begin(str(folder), overwrite=False, override=True)


def test_a_checkpoint_from_elsewhere_has_no_record(tmp_path):
    assert recorded_run(tmp_path / "gone" / "checkpoint-1") == {}
