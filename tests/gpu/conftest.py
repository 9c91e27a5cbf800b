"""Where the tests of this folder run: on the GPU where one can be used, else on the simulated one.

MINIGRAD_GPU=required makes a missing GPU an error (`make test-gpu` sets it).
"""

import os

import pytest

from minigrad import backend
from tests import simulated_cupy


def why_no_gpu() -> str | None:
    """What keeps a GPU from being used, or None."""
    try:
        backend.checked_device("cuda")
    except RuntimeError as error:
        return str(error)
    return None


REASON = why_no_gpu()


def pytest_report_header() -> str:
    return f"tests/gpu: simulated, because {REASON}" if REASON else "tests/gpu: on the GPU"


@pytest.fixture(scope="package", autouse=True)
def gpu():
    """The simulated machine for the whole folder; None where there is a real one."""
    if REASON is None:
        yield None
        return
    if os.environ.get("MINIGRAD_GPU") == "required":
        pytest.fail(REASON, pytrace=False)
    if not simulated_cupy.AVAILABLE:
        pytest.skip("needs a GPU, or c++ to simulate one")
    with simulated_cupy.simulated() as machine:
        yield machine


@pytest.fixture
def simulated(gpu):
    """The simulated machine, for what a real one can't be asked."""
    if gpu is None:
        pytest.skip("on a real GPU this can't be counted")
    return gpu


@pytest.fixture
def real(gpu):
    """For what a simulation says nothing about."""
    if gpu is not None:
        pytest.skip("needs a real GPU")
