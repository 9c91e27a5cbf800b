"""Every algorithm of torch's against what torch did, without torch."""

import numpy as np
import pytest

import minigrad as mg
import optim
from tests.golden import NAMES, load

from .paths import numbers, take_step
from .table import PUBLIC

CASES = {name: load(name) for name in NAMES if name in PUBLIC}


def row_sparse(case):
    return any(isinstance(g, dict) for g in case["grads"])


NUMBERED = [
    (name, number)
    for name, cases in CASES.items()
    for number, case in enumerate(cases)
    if hasattr(mg, "RowSparse") or not row_sparse(case)
]


@pytest.mark.parametrize(("name", "number"), NUMBERED)
def test_follows_the_golden_trace(name, number):
    case = CASES[name][number]
    p = mg.tensor(np.reshape(case["p0"], case["shape"]), dtype="float64", requires_grad=True)
    optimizer = getattr(optim, name)([p], **case["settings"])
    for t, (g, expected) in enumerate(zip(case["grads"], case["trajectory"], strict=True)):
        if case["lrs"] is not None:
            optimizer.param_groups[0]["lr"] = case["lrs"][t]
        take_step(name, optimizer, [p], [g])
        apart = np.abs(p.numpy().ravel() - expected).max()
        assert apart <= case["bound"], f"{name} {case['settings']} is off by {apart} after step {t + 1}"

    state = optimizer.state[p]
    assert {key for key, value in state.items() if value is not None} == case["state"].keys()
    for key, expected in case["state"].items():
        expected = numbers(expected)
        apart = np.abs(numbers(state[key]) - expected).max()
        assert apart <= 1e-12 * np.abs(expected).max(), f"{name} {case['settings']}: {key} is off by {apart}"
