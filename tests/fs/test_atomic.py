from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mlmfast.errors import InputError, OutputExistsError
from mlmfast.fs.atomic import atomic_file, atomic_output_dir, write_atomic


def ours(folder: Path) -> bool:
    return (folder / "mark").exists()


def write(path: Path, text: str, *, overwrite: bool = False) -> None:
    with atomic_output_dir(path, overwrite=overwrite, is_ours=ours) as folder:
        (folder / "mark").write_text(text)


def write_and_fail(path: Path, fault: BaseException, *, overwrite: bool = False) -> None:
    with atomic_output_dir(path, overwrite=overwrite, is_ours=ours) as folder:
        (folder / "mark").write_text("abc")
        raise fault


def test_the_folder_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "a" / "b" / "out"
    with atomic_output_dir(target, overwrite=False, is_ours=ours) as folder:
        (folder / "mark").write_text("x")
        assert folder.parent == target.parent
        assert not target.exists()
    assert (target / "mark").read_text() == "x"
    assert [entry.name for entry in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError, SystemExit])
def test_nothing_is_left_after_a_fault(tmp_path, fault):
    with (
        pytest.raises(fault),
        atomic_output_dir(tmp_path / "new" / "out", overwrite=False, is_ours=ours),
    ):
        raise fault
    assert list(tmp_path.iterdir()) == []


def test_a_fault_leaves_the_old_folder_as_it_was(tmp_path):
    write(tmp_path / "out", "old")
    with pytest.raises(KeyboardInterrupt):
        write_and_fail(tmp_path / "out", KeyboardInterrupt(), overwrite=True)
    assert (tmp_path / "out" / "mark").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_overwrite_replaces_our_own_folder_only(tmp_path):
    write(tmp_path / "out", "old")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write(tmp_path / "out", "new")
    write(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / "mark").read_text() == "new"

    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("years of work")
    with pytest.raises(OutputExistsError, match="did not write"):
        write(foreign, "new", overwrite=True)
    assert (foreign / "chapter.tex").read_text() == "years of work"


def test_the_check_comes_before_the_work(tmp_path):
    write(tmp_path / "out", "old")
    with (
        pytest.raises(OutputExistsError),
        atomic_output_dir(tmp_path / "out", overwrite=False, is_ours=ours),
    ):
        pytest.fail("the work was begun")


def test_an_empty_folder_is_taken_without_overwrite(tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", "x")
    assert (tmp_path / "out" / "mark").read_text() == "x"


def test_a_file_is_never_replaced(tmp_path):
    (tmp_path / "out").write_text("notes")
    with pytest.raises(OutputExistsError, match="is a file"):
        write(tmp_path / "out", "x", overwrite=True)


def test_a_parent_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be created"):
        write(tmp_path / "file" / "out", "x")


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    write(tmp_path / "out", "x")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "mark").read_text() == "x"


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("No space left on device"),
    ],
)
def test_a_full_disk_is_told_in_one_sentence(tmp_path, fault):
    with pytest.raises(InputError, match="is full: 3 bytes"):
        write_and_fail(tmp_path / "out", fault)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_has_the_usual_permissions(tmp_path):
    write(tmp_path / "out", "x")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_small_file_appears_whole_with_its_folder(tmp_path):
    path = tmp_path / "new" / "cache" / "entry.json"
    write_atomic(path, b"first")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert [file.name for file in path.parent.iterdir()] == ["entry.json"]


def test_a_file_that_is_not_finished_leaves_the_one_before(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text("old")

    def write_and_stop():
        with atomic_file(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_written_twice_at_the_same_time_and_the_last_wins(tmp_path):
    path = tmp_path / "entry"
    with atomic_file(path) as first, atomic_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_small_file_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write_atomic(tmp_path / "file" / "entry", b"content")
