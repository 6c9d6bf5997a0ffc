"""The files of deploy/ say what `mlmfast serve` understands. Nothing here builds or starts them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from mlmfast.cli.serve import KEY_VARIABLE, command
from places import ROOT

DEPLOY = ROOT / "deploy"
FILES = ("Dockerfile", "compose.yaml", "kubernetes.yaml", "mlmfast.service")


@pytest.mark.parametrize("name", FILES)
def test_options_are_those_of_the_command(name):
    known = {option for parameter in command.params for option in parameter.opts}
    # What belongs to Docker, pip, maturin and the like stands on lines without the server.
    served = [
        line
        for line in (DEPLOY / name).read_text().splitlines()
        if "/model" in line and not line.startswith("#")
    ]
    options = {option for line in served for option in re.findall(r"--[a-z][a-z-]*", line)}
    assert {"--host", "--port"} <= options <= known


@pytest.mark.parametrize("name", FILES[1:])
def test_the_key_comes_from_the_environment(name):
    text = (DEPLOY / name).read_text()
    assert KEY_VARIABLE in text
    assert "--api-key" not in text  # every user of a machine sees the arguments of its processes


def test_nothing_is_killed_before_it_has_drained():
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
    drain = {}
    for name in FILES[1:]:
        found = re.findall(r'--drain-seconds"?,? "?(\d+)', (DEPLOY / name).read_text())
        drain[name] = max(map(int, found))
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for service in compose["services"].values():
        assert int(service["stop_grace_period"].removesuffix("s")) > drain["compose.yaml"]
    pods, *_ = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pod = pods["spec"]["template"]["spec"]
    before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > before + drain["kubernetes.yaml"]
    stop = re.search(r"TimeoutStopSec=(\d+)", (DEPLOY / "mlmfast.service").read_text())
    assert int(stop[1]) > drain["mlmfast.service"]


@pytest.mark.parametrize("name", ["mlmfast.service", "mlmfast.socket", "mlmfast-admin.socket"])
def test_systemd_takes_the_unit(tmp_path, name):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    for file in DEPLOY.glob("mlmfast*"):
        # The program itself is not there.
        unit = file.read_text().replace("/opt/mlmfast/bin/mlmfast", "/bin/true")
        (tmp_path / file.name).write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_wheel_is_made_of_reaches_the_builder():
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [
        source
        for line in (DEPLOY / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert {f"!{source}" for source in copied} <= set(ignored)
    assert all((DEPLOY.parent / source).exists() for source in copied)
