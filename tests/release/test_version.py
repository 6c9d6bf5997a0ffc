"""The version of a release, which several files tell."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml

from places import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
TOP = re.search(r"^## \[(.+?)\](?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_crates_have_the_version_of_the_package():
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    assert workspace["package"]["version"] == VERSION


@pytest.mark.parametrize("lock", ["Cargo.lock", "fuzz/Cargo.lock"])
def test_the_locks_have_it_so_that_locked_builds_pass(lock):
    crates = tomllib.loads((ROOT / lock).read_text())["package"]
    found = {each["version"] for each in crates if each["name"] in ("mlmfast-core", "mlmfast-py")}
    assert found == {VERSION}


def test_the_citation_is_of_the_newest_release_of_the_changelog():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION
    assert TOP
    if TOP[1] != "Unreleased":
        assert TOP.groups() == (VERSION, citation["date-released"].isoformat())
