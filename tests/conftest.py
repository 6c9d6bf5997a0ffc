"""Fixtures that several test files share."""

from __future__ import annotations

import logging
import os

import hypothesis
import pytest

import gpu
from guards import guard
from places import SHARED_MISSING
from surroundings import leave, settle

CACHE = settle()
LOGGER = logging.getLogger("mlmfast")

# A busy machine is no fault of a test.
hypothesis.settings.register_profile(
    "steady", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("steady")
# `make fuzz` chooses this one.
hypothesis.settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("MLMFAST_FUZZ_EXAMPLES", "2000")),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)


def pytest_configure(config):
    guard(config)
    config.add_cleanup(lambda: leave(CACHE))


def pytest_collection_modifyitems(items):
    # On a busy machine a cluster of Ray takes minutes and more than one try, and another worker of
    # xdist may have one first.
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.timeout(1800))
        if item.get_closest_marker("gpu") and (reason := gpu.missing()):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter):
    missing = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if SHARED_MISSING in str(report.longrepr)
    ]
    if missing:
        terminalreporter.write_line(f"{len(missing)} tests were skipped: {SHARED_MISSING}")


@pytest.fixture(autouse=True)
def _own_logger():
    """Give each test our logger as an import leaves it: a command sets it up for its process."""

    def reset():
        LOGGER.setLevel(logging.NOTSET)
        LOGGER.propagate = True
        LOGGER.handlers.clear()

    reset()
    yield
    reset()


@pytest.fixture(scope="module")
def one_cluster(tmp_path_factory):
    """Wait until no other process of the tests has a cluster of Ray: two take too much memory."""
    from mlmfast.fs.lock import FileLock

    # The folder above is the one that all processes of a run share.
    lock = FileLock(tmp_path_factory.getbasetemp().parent / "one-cluster.lock")
    lock.acquire(wait=True)
    yield
    lock.release()


@pytest.fixture(scope="module")
def one_thread():
    """As in the processes that a test ends: with more threads, torch's sums round otherwise."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A function from a model type to its `TinyModel`, each built and exported once a session."""
    from mlmfast.exporting.export import export
    from tiny_models import TinyModel, save_checkpoint

    built = {}

    def build(kind: str) -> TinyModel:
        if kind not in built:
            folder = tmp_path_factory.mktemp(f"tiny-{kind}")
            checkpoint = save_checkpoint(kind, folder / "checkpoint")
            report = export(checkpoint, folder / "onnx")
            built[kind] = TinyModel(kind, checkpoint, report.output, report.mask_token)
        return built[kind]

    return build


@pytest.fixture(scope="session")
def tiny_sparse(tiny_model, tmp_path_factory):
    """A function from a model type to its `TinyModel` with sparse.onnx, built once a session."""
    from mlmfast.exporting.export import export
    from tiny_models import TinyModel

    built = {}

    def build(kind: str) -> TinyModel:
        if kind not in built:
            model = tiny_model(kind)
            folder = tmp_path_factory.mktemp(f"sparse-{kind}") / "onnx"
            export(model.checkpoint, folder, task="sparse")
            built[kind] = TinyModel(kind, model.checkpoint, folder, model.mask)
        return built[kind]

    return build


@pytest.fixture(scope="session")
def toy_blocks(tmp_path_factory):
    """The folder of a small block store with the splits train and test; see toy.py."""
    from toy import make_blocks

    return make_blocks(tmp_path_factory.mktemp("toy"))
