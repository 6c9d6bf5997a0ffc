"""tritonclient over HTTP, connected to the `server` of a test file."""

from __future__ import annotations

import pytest


@pytest.fixture
def http():
    return pytest.importorskip("tritonclient.http")


@pytest.fixture
def client(http, server):
    with http.InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client
