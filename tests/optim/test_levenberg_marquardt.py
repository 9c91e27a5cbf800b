"""Levenberg–Marquardt against SciPy's, and against what the method promises."""

import copy
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import optim

from .least_squares_problems import RESIDUALS, check_no_step_leads_up, ours, scipys

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", RESIDUALS)
def test_ends_where_the_reference_ends(name):
    problem = RESIDUALS[name]
    with np.errstate(all="ignore"):
        wanted = scipys(problem)
        _, reports = ours(optim.LevenbergMarquardt, problem.residuals, problem.start)
    assert reports[-1].loss == pytest.approx(wanted, rel=1e-8, abs=1e-25)
    check_no_step_leads_up(reports)


def test_the_first_step_solves_the_damped_equations():
    rng = np.random.default_rng(0)
    J, b = rng.standard_normal((7, 4)), rng.standard_normal(7)
    x, (report,) = ours(optim.LevenbergMarquardt, lambda x: mg.matmul(J, x) - b, np.zeros(4), 1, damping=0.3)
    D = np.diag(np.linalg.norm(J, axis=0))
    p = np.linalg.solve(J.T @ J + 0.3 * D @ D, J.T @ b)
    np.testing.assert_allclose(x, p, rtol=1e-12)
    assert report.ratio == pytest.approx(1.0, rel=1e-12)  # the model of r is r
    assert report.damping == pytest.approx(0.3 / 3)


def test_a_rejected_point_raises_the_damping_by_2_4_8():
    calls = []

    def closure(x):
        calls.append(x.item())
        return x * 1.0 if len(calls) in (1, 5) else x * 0 + 5.0  # three points that are higher

    _, (report,) = ours(optim.LevenbergMarquardt, closure, np.array([1.0]), 1, damping=0.25)
    steps = [1 - point for point in calls[1:]]
    np.testing.assert_allclose(steps, [1 / (1 + mu) for mu in (0.25, 0.5, 2.0, 16.0)])
    assert report.evaluations == 5
    assert report.damping == pytest.approx(16 * max(1 / 3, 1 - (2 * report.ratio - 1) ** 3))


@quick
@given(seed=seeds)
def test_the_units_of_the_parameters_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    units = 10.0 ** rng.uniform(-6, 6, 3)
    J, b = rng.standard_normal((6, 3)), rng.standard_normal(6)

    def residuals(x):
        return mg.sinh(mg.matmul(J, x)) - b

    x, reports = ours(optim.LevenbergMarquardt, residuals, np.zeros(3), 6)
    y, others = ours(optim.LevenbergMarquardt, lambda y: residuals(y * units), np.zeros(3), 6)
    np.testing.assert_allclose(y * units, x, rtol=1e-5, atol=1e-7)
    assert [r.evaluations for r in others] == [r.evaluations for r in reports]


@quick
@given(seed=seeds)
def test_no_step_leads_up(seed):
    rng = np.random.default_rng(seed)
    J, b = rng.standard_normal((8, 4)) * 10.0 ** rng.uniform(-2, 1), rng.standard_normal(8)
    closure = lambda x: mg.tanh(mg.matmul(J, x)) + 0.1 * mg.matmul(J, x) ** 2 - b
    _, reports = ours(optim.LevenbergMarquardt, closure, rng.standard_normal(4))
    check_no_step_leads_up(reports)
    assert reports[-1].stopped != "point accepted"


def test_convergence_without_residuals_is_superlinear():
    _, reports = ours(optim.LevenbergMarquardt, RESIDUALS["broyden_banded"].residuals, -np.ones(10))
    norms = [r.gradient_norm for r in reports if r.gradient_norm > 1e-12]
    ratios = [b / a for a, b in itertools.pairwise(norms[-4:])]
    assert all(b < a for a, b in itertools.pairwise(ratios))
    assert ratios[-1] < 1e-3


def test_more_parameters_than_residuals():
    x, reports = ours(optim.LevenbergMarquardt, lambda x: mg.exp(x[0] + x[1] - x[2]).reshape(1) - 2.0, np.zeros(3))
    assert reports[-1].loss < 1e-25
    np.testing.assert_allclose(x, np.array([1, 1, -1]) * np.log(2) / 3, rtol=1e-6)  # the nearest of the solutions


def test_several_tensors_of_residuals():
    problem = RESIDUALS["osborne1"]

    def apart(x):
        r = problem.residuals(x)
        return [r[:10].reshape(2, 5), r[10], r[11:]]

    whole, _ = ours(optim.LevenbergMarquardt, problem.residuals, problem.start, 5)
    parts, _ = ours(optim.LevenbergMarquardt, apart, problem.start, 5)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_in_float32():
    p = mg.tensor([-1.2, 1.0], requires_grad=True)
    optimizer = optim.LevenbergMarquardt([p])
    for _ in range(30):
        optimizer.step(lambda: mg.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]]))
    np.testing.assert_allclose(p.numpy(), [1, 1], rtol=1e-6)
    assert optimizer.state[p]["scale"].dtype == np.float32


def test_a_run_is_resumed():
    problem = RESIDUALS["meyer"]
    x = mg.tensor(problem.start, requires_grad=True)
    y = mg.tensor(problem.start, requires_grad=True)
    straight, stopped = optim.LevenbergMarquardt([x]), optim.LevenbergMarquardt([y])
    for _ in range(20):
        straight.step(lambda: problem.residuals(x))
        stopped.step(lambda: problem.residuals(y))
        state = copy.deepcopy(stopped.state_dict())
        stopped = optim.LevenbergMarquardt([y], damping=7.0)
        stopped.load_state_dict(state)
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    assert stopped.state[y]["n_iter"] == 20


def test_a_closure_that_raises_on_the_way_leaves_the_point():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.LevenbergMarquardt([x])

    def closure():
        if x.tolist() != [1.0, 2.0]:
            raise ZeroDivisionError
        return x * x

    with pytest.raises(ZeroDivisionError):
        optimizer.step(closure)
    assert x.tolist() == [1.0, 2.0]
    assert not optimizer.state[x]
