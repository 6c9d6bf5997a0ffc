"""The OpenAPI document: it has every route, and requests made from it find no fault."""

from __future__ import annotations

import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.routing import Route

import http_client
from mlmfast.serving.http.app import _PROTOCOLS
from mlmfast.serving.http.service import Service
from mlmfast.serving.http.settings import ModelSource, ServeSettings
from serving import PATIENCE, begun

KEY = {"authorization": "Bearer open-sesame"}
# What no schema can say: a text may be longer than the model takes, or targets give no token.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "404", "413", "422", "504"]

# A request may ask for an answer in less time than a model takes.
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "504"]
"""


@pytest.fixture(scope="module")
def server(tiny_sparse):
    with begun(f"bert={tiny_sparse('bert').onnx}", "--api-key", "open-sesame") as one:
        yield one


@pytest.fixture(scope="module")
def document(server):
    return http_client.get(f"{server.url}/openapi.json").json()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                yield path, method, operation


def test_every_route_is_there(document):
    service = Service(ServeSettings((ModelSource("x", Path("x")),)), 1, lambda: None)
    served = {
        (route.path, method.lower())
        for protocol in _PROTOCOLS
        for route in protocol.routes(service)
        if isinstance(route, Route) and not route.path.startswith("/page/")
        for method in route.methods - {"HEAD"}
    }
    assert {(path, method) for path, method, _ in operations(document)} == served


def test_each_operation_has_a_name_of_its_own(document):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_what_is_refused_for_now_says_when_to_ask_again(document):
    for _, _, operation in operations(document):
        for status in {"429", "503", "504"} & operation["responses"].keys():
            if "Whether" not in operation["summary"]:
                assert "Retry-After" in operation["responses"][status]["headers"]


def test_requests_that_wait_for_a_model_may_say_how_long_and_how_urgent(document):
    for path, method, operation in operations(document):
        named = {each["name"] for each in operation.get("parameters", ())}
        waits = "504" in operation["responses"]
        assert named == ({"X-Request-Timeout", "X-Priority"} if waits else set()), (path, method)


def test_examples_have_the_mask_of_the_model_and_are_answered(server, document):
    tried = 0
    for path, method, operation in operations(document):
        body = operation.get("requestBody")
        if body:
            example = body["content"]["application/json"]["example"]
            url = server.url + path.replace("{model}", "bert")
            answer = http_client.request(method, url, json=example, headers=KEY)
            assert answer.status_code == 200, (path, answer.text)
            tried += 1
    assert tried >= 7


def test_commands_of_the_page_run_as_they_stand(server):
    """In them HOST:PORT and KEY are to be replaced, and nothing else."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    page = http_client.get(f"{server.url}/docs").text
    commands = [
        html.unescape(each) for each in re.findall(r"<pre>(curl .*?)</pre>", page, re.DOTALL)
    ]
    assert len(commands) >= 7
    for command in commands:
        ready = command.replace("http://HOST:PORT", server.url).replace("KEY", "open-sesame")
        words = shlex.split(ready.replace("\\\n", " ").replace("{model}", "bert"))
        found = subprocess.run(
            [*words, "-sS", "--fail-with-body"], capture_output=True, check=False, text=True
        )
        assert found.returncode == 0, (command, found.stdout, found.stderr)


def test_schemathesis_finds_no_fault(server, tmp_path):
    """All its checks, among them that each key counts, and that what does not fit is refused."""
    pytest.importorskip("schemathesis")
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{server.url}/openapi.json", "--checks", "all", "--no-color"),
            *("--phases", "coverage,fuzzing"),
            *("--max-examples", os.environ.get("MLMFAST_FUZZ_EXAMPLES", "3")),
            *("-H", f"Authorization: {KEY['authorization']}"),
            *("--request-timeout", str(PATIENCE), "--generation-database", "none"),
            # They would take the model away from the others.
            *("--exclude-operation-id", "v2Load", "--exclude-operation-id", "v2Unload"),
        ],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
    assert int(re.findall(r"Tested: (\d+)", found.stdout)[0]) >= 25
    assert not any("Traceback" in line for line in server.lines)
