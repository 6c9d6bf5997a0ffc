"""How many cores a process may use: its affinity mask, and the quotas of its control groups."""

from __future__ import annotations

import os

import pytest

from mlmfast.runtime import cpu
from mlmfast.runtime.cgroups import control_groups
from mlmfast.runtime.cpu import available_cores, cpu_quota, thread_count

V2_MOUNT = "30 23 0:26 {group} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "33 31 0:30 {group} /sys/fs/cgroup/{name} rw shared:9 - cgroup cgroup rw,{controllers}\n"
OTHER_MOUNTS = "23 1 259:1 / / rw,relatime - ext4 /dev/root rw\n"


@pytest.fixture
def tree(tmp_path):
    """Return a function that writes files below a root, and returns the root."""

    def write(files: dict[str, str]):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def v2(group: str, mounted: str = "/") -> dict[str, str]:
    return {
        "proc/self/cgroup": f"0::{group}\n",
        "proc/self/mountinfo": OTHER_MOUNTS + V2_MOUNT.format(group=mounted),
    }


def v1_quota(folder: str, quota: str, period: str = "100000\n") -> dict[str, str]:
    folder = f"sys/fs/cgroup/{folder}"
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


def test_a_system_without_control_groups_has_no_quota(tmp_path):
    assert cpu_quota(tmp_path) is None


def test_max_is_no_quota(tree):
    assert cpu_quota(tree({**v2("/"), "sys/fs/cgroup/cpu.max": "max 100000\n"})) is None


def test_the_quota_of_a_container_whose_namespace_begins_at_its_group(tree):
    assert cpu_quota(tree({**v2("/"), "sys/fs/cgroup/cpu.max": "250000 100000\n"})) == 2.5


@pytest.mark.parametrize(
    ("own", "slice_", "expected"),
    [
        ("max 100000", "150000 100000", 1.5),
        ("50000 100000", "150000 100000", 0.5),
        ("400000 100000", "150000 100000", 1.5),
        ("100000 50000", "max 100000", 2),
    ],
)
def test_the_smallest_quota_of_a_service_and_its_slices_holds(tree, own, slice_, expected):
    root = tree(
        {
            **v2("/batch.slice/batch-night.slice/train.service"),
            "sys/fs/cgroup/batch.slice/batch-night.slice/train.service/cpu.max": own,
            "sys/fs/cgroup/batch.slice/cpu.max": slice_,
            "sys/fs/cgroup/other.slice/cpu.max": "1000 100000",
        }
    )
    assert cpu_quota(root) == expected


@pytest.mark.parametrize(
    ("group", "mounted", "folder"),
    [
        ("/docker/1f", "/docker/1f", ""),  # the host's namespace, the container's mount
        ("/docker/1f/job", "/docker/1f", "job"),
        ("/../..", "/", ""),  # the process was not moved into its namespace
        ("/../neighbour", "/", ""),
        ("/", "/../..", ""),  # the mount is older than the namespace
        ("/../../job", "/../..", "job"),
        ("/gone (deleted)", "/", ""),
    ],
)
def test_groups_and_mounts_of_other_namespaces(tree, group, mounted, folder):
    quota = {f"sys/fs/cgroup/{folder}/cpu.max": "300000 100000\n"}
    assert cpu_quota(tree({**v2(group, mounted), **quota})) == 3


def test_version_1(tree):
    mounts = V1_MOUNT.format(group="/", name="cpu,cpuacct", controllers="cpu,cpuacct")
    mounts += V1_MOUNT.format(group="/", name="memory", controllers="memory")
    root = tree(
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/box/job\n4:memory:/elsewhere\n1:name=systemd:/x\n",
            "proc/self/mountinfo": OTHER_MOUNTS + mounts,
            **v1_quota("cpu,cpuacct", "-1\n"),
            **v1_quota("cpu,cpuacct/box", "50000\n"),
            **v1_quota("cpu,cpuacct/box/job", "-1\n"),
            **v1_quota("cpu,cpuacct/elsewhere", "1000\n"),
        }
    )
    assert cpu_quota(root) == 0.5
    memory = root / "sys/fs/cgroup/memory"
    assert control_groups("memory", root) == [memory / "elsewhere", memory]


def test_version_1_in_a_container_that_sees_the_path_of_its_host(tree):
    mounts = V1_MOUNT.format(group="/docker/1f", name="cpu", controllers="cpu")
    root = tree(
        {
            "proc/self/cgroup": "5:cpu:/docker/1f\n",
            "proc/self/mountinfo": mounts,
            **v1_quota("cpu", "200000\n"),
        }
    )
    assert cpu_quota(root) == 2


def test_both_versions_side_by_side(tree):
    mounts = V1_MOUNT.format(group="/", name="cpu", controllers="cpu")
    mounts += V2_MOUNT.format(group="/").replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
    root = tree(
        {
            "proc/self/cgroup": "2:cpu:/box\n0::/box.slice\n",
            "proc/self/mountinfo": mounts,
            **v1_quota("cpu/box", "150000\n"),
            "sys/fs/cgroup/unified/box.slice/cgroup.procs": "1\n",
        }
    )
    assert cpu_quota(root) == 1.5


def test_a_mount_point_with_a_blank(tree):
    mount = V2_MOUNT.format(group="/").replace("/sys/fs/cgroup", r"/my\040groups")
    root = tree(
        {
            "proc/self/cgroup": "0::/a\n",
            "proc/self/mountinfo": mount,
            "my groups/a/cpu.max": "100000 100000\n",
        }
    )
    assert cpu_quota(root) == 1


def test_the_usual_places_where_mounts_are_not_listed(tree):
    root = tree({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "100000 100000\n"})
    assert cpu_quota(root) == 1


@pytest.mark.parametrize(
    "quota", ["", "max", "1 2 3", "a b", "0 100000", "-1 100000", "1 0", "²", "9" * 5000 + " 1"]
)
def test_a_quota_that_makes_no_sense_is_none(tree, quota):
    files = v1_quota("", quota, "0\n")
    assert cpu_quota(tree({**v2("/"), "sys/fs/cgroup/cpu.max": quota, **files})) is None


@pytest.mark.parametrize("text", ["", "\n", "0", "0:", "::::", "x:cpu:relative", "\x00:\x00:/\x00"])
def test_files_that_make_no_sense_are_no_quota(tree, text):
    root = tree({"proc/self/cgroup": text, "proc/self/mountinfo": f"{text}\n1 2 - cgroup2\n - \n"})
    assert cpu_quota(root) is None


def test_a_quota_of_part_of_a_core_leaves_one_thread(monkeypatch):
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7}, raising=False)
    for quota, cores in ((None, 3), (1.5, 2), (0.25, 1), (64.0, 3)):
        monkeypatch.setattr(cpu, "cpu_quota", lambda quota=quota: quota)
        assert available_cores() == thread_count(None) == cores
    assert thread_count(7) == 7
