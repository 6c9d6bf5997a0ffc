"""How many cores are ours: affinity, and the quota of a container."""

from __future__ import annotations

from mlmfast.runtime.cpu import cpu_quota


def test_the_quota_of_a_container(tmp_path):
    assert cpu_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cpu_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert cpu_quota(tmp_path) == 2.5


def test_the_older_form_of_it(tmp_path):
    (tmp_path / "cpu").mkdir()
    quota = tmp_path / "cpu" / "cpu.cfs_quota_us"
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    quota.write_text("-1\n")
    assert cpu_quota(tmp_path) is None
    quota.write_text("50000\n")
    assert cpu_quota(tmp_path) == 0.5
