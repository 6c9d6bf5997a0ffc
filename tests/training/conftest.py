"""What every test of training gets."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _own_state():
    """Take no precision over from a Trainer of an earlier test: accelerate keeps it in the process.

    `train` and the commands see to that themselves, which their own tests show by training twice.
    """
    from mlmfast.training.process.state import isolated_state

    with isolated_state():
        yield
