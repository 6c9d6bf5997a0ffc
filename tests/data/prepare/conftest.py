"""Fixtures of the tests of `prepare`."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from mlmfast.data.prepare.distributed import ray, run
from waves_here import Here


@pytest.fixture
def here(monkeypatch):
    """A function that lets "ray" run in this process, in units of so many bytes."""

    def choose(unit_bytes=3000, fail_after=None):
        @contextmanager
        def cluster(_threads):
            yield lambda job: Here(job, fail_after)

        monkeypatch.setattr(run, "UNIT_BYTES", unit_bytes)
        monkeypatch.setattr(ray, "ray_cluster", cluster)
        monkeypatch.setattr(ray, "import_ray", lambda: None)

    return choose
