"""The files of deploy/ say what `mlmfast serve` understands, and their commands run."""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import re
import shutil
import subprocess
import tomllib

import pytest

from mlmfast.cli.serve import KEY_VARIABLE, command
from mlmfast.serving import ray
from mlmfast.serving.http.settings import ServeSettings
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


def commands(name: str) -> list[str]:
    """The commands in the comment at the top of a file, without what they say of themselves."""
    lines = []
    for line in (DEPLOY / name).read_text().splitlines():
        if not line.startswith("#"):
            break
        if line.startswith("#   "):
            lines.append(re.sub(r"\s{2,}# .*", "", line[1:]).strip())
    assert lines
    return lines


class TestCommands:
    """They run as they stand, as far as that can be tried without Docker, a cluster and root."""

    def test_the_model_is_copied_whole_and_again(self, tmp_path):
        """Neither into a folder that is not there, nor below the copy before."""
        (tmp_path / "onnx").mkdir()
        (tmp_path / "onnx" / "model.onnx").write_text("first")
        (script,) = [line for line in commands("mlmfast.service") if "cp -r" in line]
        for content in ("first", "second"):
            (tmp_path / "onnx" / "model.onnx").write_text(content)
            subprocess.run(
                ["bash", "-ec", script.replace("/srv/", f"{tmp_path}/srv/")],
                check=True,
                cwd=tmp_path,
            )
            copied = [path for path in (tmp_path / "srv").rglob("*") if path.is_file()]
            assert copied == [tmp_path / "srv" / "mlmfast" / "model" / "model.onnx"]
            assert copied[0].read_text() == content
        assert "mlmfast serve /srv/mlmfast/model " in (DEPLOY / "mlmfast.service").read_text()

    def test_the_file_of_the_key_is_written(self, tmp_path):
        if not shutil.which("openssl"):
            pytest.skip("openssl is not installed")
        (script,) = [line for line in commands("mlmfast.service") if KEY_VARIABLE in line]
        subprocess.run(
            ["bash", "-ec", script.replace("/etc/", f"{tmp_path}/")], check=True, cwd=tmp_path
        )
        written = (tmp_path / "mlmfast.env").read_text()
        assert re.fullmatch(rf"{KEY_VARIABLE}=[0-9a-f]{{64}}\n", written)
        assert (tmp_path / "mlmfast.env").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml"])
    def test_paths_and_targets_are_there(self, name):
        stages = re.findall(r"^FROM .* AS (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
        for line in commands(name):
            files = re.findall(r"-f (\S+)", line)
            assert all((ROOT / file).is_file() for file in files)
            assert set(re.findall(r"--target (\S+)", line)) <= set(stages)
            # Docker reads a relative path as a name of a volume or from another folder.
            for folder in re.findall(r"(?:MODEL=|-v )(\S+?)(?:\s|:)", line):
                assert folder == '"$PWD/onnx"'

    def test_services_and_profiles_are_there(self):
        yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
        content = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
        for line in commands("compose.yaml"):
            service = content["services"][line.split()[-1]]
            assert service.get("profiles", []) == re.findall(r"--profile (\S+)", line)
            # From the folder of the file, as Compose does.
            build = service["build"]
            context = (DEPLOY / build["context"]).resolve()
            assert context == ROOT.resolve()
            assert (context / build["dockerfile"]).is_file()

    def test_the_secret_is_one(self):
        if not shutil.which("kubectl"):
            pytest.skip("kubectl is not installed")
        (script,) = [line for line in commands("kubernetes.yaml") if "secret" in line]
        made = subprocess.run(
            ["bash", "-ec", f"{script} --dry-run=client -o json"],
            capture_output=True,
            check=True,
            text=True,
        )
        secret = json.loads(made.stdout)
        key = base64.b64decode(secret["data"]["api-key"])
        assert re.fullmatch(rb"[0-9a-f]{64}", key)
        assert secret["metadata"]["name"] == "mlmfast"

    def test_those_of_the_page_name_what_there_is(self):
        page = (ROOT / "docs" / "deployment.md").read_text()
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
            "optional-dependencies"
        ]
        for named in re.findall(r"mlmfast\[([a-z0-9,-]+)\]", page):
            assert set(named.split(",")) <= set(extras)
        module, name, arguments = re.findall(r"serve run ([\w.]+):(\w+) (.*?) +#", page)[0]
        assert callable(getattr(importlib.import_module(module), name))
        known = {*inspect.signature(ray.application).parameters, *ServeSettings.__annotations__}
        assert {one.partition("=")[0] for one in arguments.split()} <= known
        for link in re.findall(r"\]\((\.\./deploy/[^)]+)\)", page):
            assert (ROOT / "docs" / link).is_file()
