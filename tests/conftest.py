"""What all tests share: nothing global may be left changed behind a test."""

import os
import signal

import numpy as np
import pytest
from hypothesis import settings

import minigrad as mg
from minigrad.tape import grad_mode
from optim.formula.executions import chosen_execution

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it runs in the background ignore Ctrl-C


def global_state():
    return {
        "grad mode": grad_mode.enabled,
        "default dtype": mg.get_default_dtype(),
        "execution": chosen_execution(),
        "errstate": np.geterr(),
        "SIGINT handler": signal.getsignal(signal.SIGINT),
    }


@pytest.fixture(autouse=True)
def nothing_leaks():
    """Fail a test that leaves global state changed; put back what can be, so that only that test fails."""
    before = global_state()
    yield
    after = global_state()
    grad_mode.enabled = before["grad mode"]
    mg.set_default_dtype(before["default dtype"])
    np.seterr(**before["errstate"])
    signal.signal(signal.SIGINT, before["SIGINT handler"])
    assert after == before


@pytest.fixture
def float64_default():
    """float64 as the default dtype for one test."""
    before = mg.get_default_dtype()
    mg.set_default_dtype(np.float64)
    yield
    mg.set_default_dtype(before)
