"""The references against the golden traces, without torch."""

from __future__ import annotations

import math

import pytest

from tests.golden import NAMES, load
from tests.golden.settings import SETTINGS
from tests.references import REFERENCES


def dense(grad, shape):
    """A row-sparse gradient with its zeros."""
    width = math.prod(shape[1:])
    full = [0.0] * math.prod(shape)
    for place, value in enumerate(grad["values"]):
        full[grad["rows"][place // width] * width + place % width] += value
    return full


def take_step(reference, name, grad):
    if not isinstance(grad, dict):
        reference.step(grad)
    elif name == "SparseAdam":
        reference.step(grad["values"], grad["rows"])
    else:
        reference.step(dense(grad, reference.shape))


def distance(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def flat(value):
    return value if isinstance(value, list) else [float(value)]


@pytest.mark.parametrize(("name", "number"), [(name, i) for name in NAMES for i in range(len(load(name)))])
def test_the_reference_follows_torch(name, number):
    case = load(name)[number]
    reference = REFERENCES[name](case["p0"], shape=case["shape"], **case["settings"])
    for i, grad in enumerate(case["grads"]):
        if case["lrs"] is not None:
            reference.lr = case["lrs"][i]
        take_step(reference, name, grad)
        assert distance(reference.p, case["trajectory"][i]) <= case["bound"], f"{case['settings']} at step {i + 1}"

    assert reference.state.keys() == case["state"].keys()
    for key, expected in case["state"].items():
        expected = flat(expected)
        assert distance(flat(reference.state[key]), expected) <= 1e-12 * max(map(abs, expected)), key


def test_every_trace_is_there_and_moves():
    assert set(NAMES) == set(SETTINGS)
    for name in NAMES:
        for case in load(name):
            assert len(case["trajectory"]) == len(case["grads"])
            assert case["trajectory"][-1] != case["p0"]
