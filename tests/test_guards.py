"""A lost process and a test past its time end with an error that names the test."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from places import SUPPORT


def run_tests(folder, *options, **seconds):
    """Run the tests of `folder` under the guards, which take so many seconds."""
    (folder / "conftest.py").write_text(
        textwrap.dedent(f"""
            import sys
            sys.path.insert(0, {str(SUPPORT)!r})
            import guards
            guards.GRACE_SECONDS = {seconds.get("grace", 60)}
            guards.Silence.__init__.__defaults__ = ({seconds.get("silence", 60)},)
            from guards import guard as pytest_configure
        """)
    )
    (folder / "pytest.ini").write_text(f"[pytest]\ntimeout = {seconds.get('timeout', 60)}\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def write(folder, **functions):
    for name, body in functions.items():
        (folder / f"test_{name}.py").write_text(
            f"import os, signal, threading, time\ndef test_{name}():\n    {body}\n"
        )


STUCK = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); threading.Event().wait()"


def test_a_lost_process_and_a_stuck_test_fail_by_name_and_the_rest_is_run(tmp_path):
    write(tmp_path, first="pass", lost="os._exit(0)", stuck=STUCK, last="pass")
    options = ("--numprocesses", "2", "--dist", "worksteal")
    ended = run_tests(tmp_path, *options, timeout=2, grace=1)
    assert ended.returncode == 1
    assert "crashed while running 'test_lost.py::test_lost'" in ended.stdout
    assert "crashed while running 'test_stuck.py::test_stuck'" in ended.stdout
    assert "2 failed, 2 passed" in ended.stdout
    # Where it hung.
    assert 'test_stuck.py", line 3 in test_stuck' in ended.stderr


def test_a_run_that_falls_silent_ends_and_names_what_has_begun(tmp_path):
    write(tmp_path, stuck="threading.Event().wait()")
    ended = run_tests(tmp_path, timeout=60, silence=3)
    assert ended.returncode == 1
    assert "No test has begun or ended for 3 seconds" in ended.stderr
    assert "not ended: test_stuck.py::test_stuck" in ended.stderr
