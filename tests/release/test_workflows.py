"""The workflows of GitHub: what they run is what is reviewed, and what they call exists."""

from __future__ import annotations

import re

import pytest
import yaml

from places import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(path):
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_commits(path):
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) for each in used), used


def test_the_workflows_and_the_makefile_know_the_same_targets():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    matrix = ci["jobs"]["versions"]["strategy"]["matrix"]
    resolutions = {*matrix["resolution"], *(each["resolution"] for each in matrix["include"])}
    assert resolutions == {"newest", "oldest"}
    assert {f"test-{each}" for each in resolutions} <= targets


def test_nothing_but_the_upload_may_write_or_sign():
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    assert release["permissions"] == {}
    allowed = {name: set(job["permissions"].values()) for name, job in release["jobs"].items()}
    assert {name for name, values in allowed.items() if "write" in values} == {"publish"}
