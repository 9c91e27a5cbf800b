"""Gauss–Newton against NumPy's and SciPy's least squares, and against what the method promises."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import optim

from .least_squares_problems import RESIDUALS, check_no_step_leads_up, ours, scipys

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)
ASTRAY = {
    "freudenstein_roth": "ends where J is singular",
    "jennrich_sampson": "J is singular at the start",
    "gulf": "J is singular at the start",
    "biggs": "ends where J is singular",
    "chebyquad": "ends where J is singular",
    "penalty2": "J is nearly singular",
    "brown_dennis": "the residuals are too large: slow",
    "trigonometric": "finds 0, SciPy a local minimum",
}
"""Problems on which the method, undamped, does not get where Levenberg and Marquardt's does."""


@pytest.mark.parametrize("name", [name for name in RESIDUALS if name not in ASTRAY])
def test_ends_where_the_reference_ends(name):
    problem = RESIDUALS[name]
    with np.errstate(all="ignore"):
        wanted = scipys(problem)
        _, reports = ours(optim.GaussNewton, problem.residuals, problem.start)
    assert reports[-1].loss == pytest.approx(wanted, rel=1e-8, abs=1e-25)
    check_no_step_leads_up(reports)


@quick
@given(seed=seeds, m=st.integers(1, 9), n=st.integers(1, 6))
def test_one_step_solves_a_linear_problem(seed, m, n):
    rng = np.random.default_rng(seed)
    J, b, start = rng.standard_normal((m, n)), rng.standard_normal(m), rng.standard_normal(n)
    x, (report, *_) = ours(optim.GaussNewton, lambda x: mg.matmul(J, x) - b, start, 1)
    solution = start + np.linalg.lstsq(J, b - J @ start, rcond=None)[0]
    if m >= n:
        np.testing.assert_allclose(x, solution, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(J @ x, J @ solution, atol=1e-9)
    assert report.step_length == 1
    assert report.evaluations == 2


@pytest.mark.parametrize("name", ["broyden_banded", "brown_almost_linear", "helical_valley", "box", "beale"])
def test_convergence_without_residuals_is_quadratic(name):
    problem = RESIDUALS[name]
    _, reports = ours(optim.GaussNewton, problem.residuals, problem.start)
    sizes = [np.sqrt(2 * r.loss) for r in reports]  # ‖r‖ is of the order of the distance
    last = max(i for i, size in enumerate(sizes) if size > 1e-7)
    assert sizes[last + 1] <= 100 * sizes[last] ** 2
    assert sizes[last] <= 100 * sizes[last - 1] ** 2


@quick
@given(seed=seeds)
def test_no_step_leads_up(seed):
    rng = np.random.default_rng(seed)
    J, b = rng.standard_normal((8, 4)), rng.standard_normal(8)
    closure = lambda x: mg.tanh(mg.matmul(J, x)) + 0.1 * mg.matmul(J, x) - b
    _, reports = ours(optim.GaussNewton, closure, rng.standard_normal(4), 30)
    check_no_step_leads_up(reports)


def test_a_step_is_halved_until_the_loss_falls():
    """From 2, the first steps on arctan would lead ever further away."""
    x, reports = ours(optim.GaussNewton, mg.arctan, [2.0])
    assert reports[0].step_length == 0.5
    assert reports[0].step_norm == pytest.approx(0.5 * np.arctan(2.0) * 5)
    np.testing.assert_allclose(x, 0, atol=1e-12)


def test_of_many_solutions_the_nearest():
    x, _ = ours(optim.GaussNewton, lambda x: (x[0] + x[1] - 2.0).reshape(1), np.array([0.0, 1.0]), 1)
    np.testing.assert_allclose(x, [0.5, 1.5], rtol=1e-14)


@pytest.mark.parametrize(("m", "n"), [(1, 50), (50, 1), (7, 3)])
def test_the_jacobian_takes_as_few_passes_as_it_can(m, n, monkeypatch):
    passes = []

    def counted(function):
        return lambda vectors: passes.append(1) or function(vectors)

    whole = optim.least_squares.jacobian_products
    monkeypatch.setattr(
        optim.least_squares, "jacobian_products", lambda *arguments: tuple(map(counted, whole(*arguments)))
    )
    J = np.random.default_rng(0).standard_normal((m, n))
    ours(optim.GaussNewton, lambda x: mg.matmul(J, x) - 1.0, np.zeros(n), 1)
    assert len(passes) == min(m, n)


def test_columns_of_zeros_are_left():
    x, _ = ours(optim.GaussNewton, lambda x: x[:1] * 3.0 + 0 * x[1:] - 6.0, np.array([0.0, 0.1]))
    np.testing.assert_allclose(x, [2.0, 0.1], rtol=1e-14)
    assert x[1] == 0.1


def test_a_run_is_resumed():
    problem = RESIDUALS["rosenbrock"]
    x, y = (mg.tensor(problem.start, requires_grad=True) for _ in range(2))
    straight, stopped = optim.GaussNewton([x]), optim.GaussNewton([y])
    for _ in range(5):
        straight.step(lambda: problem.residuals(x))
        stopped.step(lambda: problem.residuals(y))
        state = copy.deepcopy(stopped.state_dict())
        stopped = optim.GaussNewton([y])
        stopped.load_state_dict(state)
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    assert stopped.state[y] == straight.state[x]


def test_a_closure_that_raises_on_the_way_leaves_the_point():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.GaussNewton([x])

    def closure():
        if x.tolist() != [1.0, 2.0]:
            raise ZeroDivisionError
        return x * x

    with pytest.raises(ZeroDivisionError):
        optimizer.step(closure)
    assert x.tolist() == [1.0, 2.0]
    assert not optimizer.state[x]
