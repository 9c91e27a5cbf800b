"""After its first step, an optimizer allocates nothing that grows with its parameters (but for the eager execution)."""

import math
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
import optim
from optim.elementwise import Binding
from optim.scratch import Scratch

from .table import ROWS, TESTED

SHAPES = [(400, 300), (300,), (1000, 200)]
BYTES = 8 * sum(math.prod(shape) for shape in SHAPES)
SLACK = 16_384
"""Bytes that may differ between two runs of the same; NumPy's own buffers, of fixed size, are in both."""
EXECUTIONS = ["blocked", "numba"]
DENSE = [name for name in TESTED if ROWS[name].gradients == "dense" and not ROWS[name].loss]
"""Those that don't differentiate by themselves."""
SETTINGS = {
    "SGD": [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1}],
    "RMSprop": [{}, {"centered": True, "momentum": 0.9}],
    "Adafactor": [{}, {"weight_decay": 0.1}],
    "Muon": [{"ns_steps": 1}, {"ns_steps": 1, "nesterov": False}],
}


def peak_of_a_step(name, execution, times=1, rows=None, **settings):
    """Bytes that the fourth step has allocated at most at one time; `times` as many rows as in SHAPES."""
    stream = np.random.default_rng(0)
    shapes = [(times * shape[0], *shape[1:]) for shape in SHAPES if name != "Muon" or len(shape) == 2]
    params = [mg.tensor(stream.standard_normal(shape), requires_grad=True) for shape in shapes]
    gradients = [stream.standard_normal(p.shape) for p in params]
    if rows is not None:
        gradients = [mg.RowSparse(rows, g[rows], g.shape) for g in gradients]
    optimizer = getattr(optim, name)(params, **settings)
    for p, g in zip(params, gradients, strict=True):
        p.grad = g
    closure = (lambda: 0.0) if ROWS[name].closure else None
    with optim.execution(execution):
        for _ in range(3):
            optimizer.step(closure)
        tracemalloc.start()
        optimizer.step(closure)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("name", DENSE)
def test_a_step_allocates_nothing_that_grows(name, execution):
    for settings in SETTINGS.get(name, [{}]):
        one, four = (peak_of_a_step(name, execution, times, **settings) for times in (1, 4))
        assert abs(four - one) < SLACK, settings


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("name", ["SparseAdam", "SGD", "Adagrad"])
def test_a_row_sparse_step_allocates_as_much_as_its_rows_need(name, execution):
    one, four = (peak_of_a_step(name, execution, times, np.arange(20)) for times in (1, 4))
    assert abs(four - one) < SLACK
    assert peak_of_a_step(name, execution, 1, np.arange(200)) > 3 * one


def test_what_grows_would_be_seen(monkeypatch):
    """The eager execution allocates every intermediate, and Adafactor does without work space that is kept."""
    assert peak_of_a_step("Adam", "eager", 4) > 3 * peak_of_a_step("Adam", "eager", 1) > BYTES / 2
    monkeypatch.setattr(Scratch, "take", lambda self, p, shapes, params: [np.empty(s) for s in shapes(p.shape)])
    monkeypatch.setattr(Binding, "holds", lambda *_: False)
    assert peak_of_a_step("Adafactor", "blocked", 4) > 3 * peak_of_a_step("Adafactor", "blocked", 1) > BYTES / 2
