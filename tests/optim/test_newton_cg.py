"""Newton–CG against dense Newton steps and SciPy's trust-ncg, and against what the method promises."""

import copy
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import minigrad as mg
import optim
from optim.newton_cg import BOUNDARY, CONVERGED, LIMIT, NEGATIVE_CURVATURE, steihaug
from optim.study.problems import PROBLEMS

from .least_squares_problems import check_no_step_leads_up, ours

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def quadratic(rng, n, condition=10.0, negative=0):
    """A symmetric matrix with eigenvalues over that range, some of them negative, and b."""
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    spectrum = condition ** rng.random(n) * np.where(np.arange(n) < negative, -1, 1)
    return Q * spectrum @ Q.T, rng.standard_normal(n)


def value(A, b):
    return lambda x: (x * mg.matmul(A, x)).sum() / 2 - (x * b).sum()


# --- the inner loop


@quick
@given(seed=seeds, n=st.integers(1, 8), negative=st.integers(0, 3), radius=st.floats(0.01, 100))
def test_steihaugs_step(seed, n, negative, radius):
    rng = np.random.default_rng(seed)
    A, g = quadratic(rng, n, negative=negative)
    products = []
    p, r, inner = steihaug(g, lambda d: products.append(1) or A @ d, radius, 1e-10 * np.linalg.norm(g), 10 * n)
    np.testing.assert_allclose(r, A @ p + g, atol=1e-9 * (1 + radius) * np.abs(A).max())
    model = g @ p + p @ A @ p / 2
    cauchy = (
        min(radius / np.linalg.norm(g), g @ g / max(g @ A @ g, 1e-300)) if g @ A @ g > 0 else radius / np.linalg.norm(g)
    )
    assert model <= -cauchy * g @ g + cauchy**2 * (g @ A @ g) / 2 + 1e-9 * abs(model)  # as low as the Cauchy point
    length = np.linalg.norm(p)
    if inner == CONVERGED:
        assert length < radius
        if not negative:
            np.testing.assert_allclose(p, -np.linalg.solve(A, g), rtol=1e-6, atol=1e-8)
    else:
        assert inner in (BOUNDARY, NEGATIVE_CURVATURE)
        assert length == pytest.approx(radius)
    if inner == NEGATIVE_CURVATURE:
        assert negative
    if not negative:
        newton = np.linalg.norm(np.linalg.solve(A, g))
        assert (inner == CONVERGED) == (newton < radius) or newton == pytest.approx(radius, rel=1e-6)


def test_the_iterates_grow_and_the_model_falls():
    A, g = quadratic(np.random.default_rng(0), 8, 1000.0)
    before = np.zeros(8)
    for limit in range(1, 8):
        p, _, inner = steihaug(g, lambda d: A @ d, 1e6, 0.0, limit)
        assert inner == LIMIT
        assert np.linalg.norm(p) > np.linalg.norm(before)
        assert g @ p + p @ A @ p / 2 < g @ before + before @ A @ before / 2
        before = p


# --- the method


@quick
@given(seed=seeds, n=st.integers(1, 12))
def test_one_step_solves_a_convex_quadratic(seed, n):
    rng = np.random.default_rng(seed)
    A, b = quadratic(rng, n, 100.0)
    x, (report,) = ours(
        optim.NewtonCG, value(A, b), rng.standard_normal(n), 1, radius=1e6, max_radius=1e6, forcing=1e-12
    )
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-7, atol=1e-9)
    assert report.inner == CONVERGED
    assert report.evaluations == 2
    assert report.ratio == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("max_radius", [1000.0, 0.25])
def test_the_report_has_the_radius_of_the_next_step(max_radius):
    """Whether a point was accepted, none was lower, or nothing was tried."""
    x = mg.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    optimizer = optim.NewtonCG([x], max_radius=max_radius)
    start = min(1.0, max_radius)

    def alone():
        """A loss that is finite here and nowhere else."""
        here = x.numpy().copy()
        return lambda: (x * x).sum() + (0 if np.array_equal(x.numpy(), here) else math.nan)

    optimizer.step(alone())
    assert (optimizer.report.stopped, optimizer.report.radius) == ("no lower point found", start)
    optimizer.step(lambda: (x * math.nan).sum())
    assert optimizer.report.radius == start
    optimizer.step(lambda: (x * x).sum())
    assert optimizer.report.step_norm and optimizer.report.radius == optimizer.state[x]["radius"]
    kept = optimizer.report.radius
    optimizer.step(alone())
    assert optimizer.report.step_norm == 0 and optimizer.report.radius == kept == optimizer.state[x]["radius"]


@quick
@given(seed=seeds, n=st.integers(1, 12), condition=st.sampled_from([1.0, 100.0, 1e6]))
def test_convex_quadratics_fall_in_every_step(seed, n, condition):
    rng = np.random.default_rng(seed)
    A, b = quadratic(rng, n, condition)
    _, reports = ours(optim.NewtonCG, value(A, b), 10 * rng.standard_normal(n))
    check_no_step_leads_up(reports)
    assert all(after.loss < before.loss for before, after in itertools.pairwise(reports[:-1]))
    best = -b @ np.linalg.solve(A, b) / 2
    assert reports[-1].loss - best <= 1e-13 * abs(best) * condition


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", range(2, 11))
@pytest.mark.parametrize("start", ["standard", "not convex", "far"])
def test_rosenbrock_is_solved_to_the_last_digit(n, dtype, start):
    point = {
        "standard": np.resize([-1.2, 1.0], n),
        "not convex": np.resize([0.0, 2.0], n),
        "far": 3 * np.random.default_rng(n).standard_normal(n),
    }[start]
    if start == "not convex":
        assert np.linalg.eigvalsh(mg.hessian(rosenbrock, mg.tensor(point)).numpy()).min() < -100
    x, reports = ours(optim.NewtonCG, rosenbrock, point.astype(dtype))
    eps = float(np.finfo(dtype).eps)
    check_no_step_leads_up(reports, eps=eps)
    if n > 3 and x[0] < 0:  # there is a local minimum near (-1, 1, ..., 1)
        y = mg.tensor(x, requires_grad=True)
        unseen = np.sqrt(
            2 * 1e3 * 10 * eps * 4
        )  # where f is 4 and curves by 1e3, and falls below 10 eps f are not seen
        assert np.abs(mg.grad(rosenbrock(y), y).numpy()).max() < unseen
    else:
        assert np.abs(x - 1).max() <= 4 * eps
        assert reports[-1].loss <= 1000 * eps**2


@pytest.mark.parametrize(
    ("exponent", "dtype"), [(-600, "float64"), (600, "float64"), (-60, "float32"), (60, "float32")]
)
def test_the_scale_of_the_loss_does_not_matter(exponent, dtype):
    point, scale = np.array([-1.2, 1.0], dtype), 2.0**exponent
    x, _ = ours(optim.NewtonCG, lambda x: scale * rosenbrock(x), point)
    np.testing.assert_allclose(x, 1, rtol=1e-12 if dtype == "float64" else 1e-5)


def test_near_the_solution_convergence_is_superlinear():
    _, reports = ours(optim.NewtonCG, rosenbrock, np.full(6, 1.1))
    before, middle, last = [r.gradient_norm for r in reports if r.gradient_norm][-3:]
    assert last / middle < 1e-6 < middle / before < 1e-2


@pytest.mark.parametrize("start", [[1e-8, 1.0], [1e-3, 0.0], [-1e-8, 1e-8]])
def test_negative_curvature_leads_away_from_a_saddle(start):
    x, reports = ours(optim.NewtonCG, lambda x: x[1] ** 2 - x[0] ** 2 + x[0] ** 4 / 4, np.array(start))
    np.testing.assert_allclose(np.abs(x), [np.sqrt(2), 0], atol=1e-7)
    assert NEGATIVE_CURVATURE in [r.inner for r in reports]
    assert len(reports) < 15
    check_no_step_leads_up(reports)


@quick
@given(seed=seeds, n=st.integers(2, 6))
def test_an_indefinite_quadratic_falls_to_the_boundary(seed, n):
    rng = np.random.default_rng(seed)
    A, b = quadratic(rng, n, negative=n)
    _, reports = ours(optim.NewtonCG, value(A, b), np.zeros(n), 5)
    assert [r.inner for r in reports] == [NEGATIVE_CURVATURE] * 5
    np.testing.assert_allclose([r.step_norm for r in reports], [1, 2, 4, 8, 16])
    np.testing.assert_allclose([r.ratio for r in reports], 1, rtol=1e-6)


@pytest.mark.parametrize("name", ["beale", "helical_valley", "wood", "bard", "box", "osborne1", "watson", "chebyquad"])
def test_ends_where_the_reference_ends(name):
    problem = PROBLEMS[name]
    jac = lambda x: mg.grad(problem(y := mg.tensor(x, requires_grad=True)), y).numpy()
    hess = lambda x: mg.hessian(problem, mg.tensor(x)).numpy()
    with np.errstate(all="ignore"):
        wanted = minimize(problem, problem.start, jac=jac, hess=hess, method="trust-exact", options={"gtol": 1e-10}).fun
        _, reports = ours(optim.NewtonCG, problem, problem.start)
    assert reports[-1].loss <= wanted * (1 + 1e-8) + 1e-20
    check_no_step_leads_up(reports)


def test_the_least_of_a_network_with_a_matrix():
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((20, 2)), rng.standard_normal((20, 1))
    W, v = (mg.tensor(rng.standard_normal(shape), requires_grad=True) for shape in [(2, 3), (3, 1)])
    optimizer = optim.NewtonCG([W, v])
    for _ in range(100):
        optimizer.step(
            lambda: (
                ((mg.matmul(mg.tanh(mg.matmul(inputs, W)), v) - targets) ** 2).mean()
                + 0.01 * ((W**2).sum() + (v**2).sum())
            )
        )
    assert optimizer.report.gradient_norm < 1e-8


def test_maximize_is_to_minimize_the_negative():
    start = np.array([-1.2, 1.0, 0.3])
    x, down = ours(optim.NewtonCG, rosenbrock, start, 12)
    y, up = ours(optim.NewtonCG, lambda x: -rosenbrock(x), start, 12, maximize=True)
    np.testing.assert_array_equal(x, y)
    assert [r.loss for r in up] == [-r.loss for r in down]
    check_no_step_leads_up(up, sign=-1.0)


def test_the_loss_is_trusted_no_further_than_its_rounding():
    """Beside 1e6, the last falls of the loss are rounding: the steps are Newton's all the same."""
    x, reports = ours(optim.NewtonCG, lambda x: rosenbrock(x) + 1e6, np.array([-1.2, 1.0]))
    np.testing.assert_allclose(x, [1, 1], atol=1e-4)
    assert reports[-1].stopped == "point accepted, lower by no more than rounding"


def test_a_point_that_is_not_finite_shortens_the_step():
    calls = []

    def closure(x):
        calls.append(x.item())
        return mg.where(x > 0.9, x**2, mg.log(x - 2.0)).sum()

    with np.errstate(invalid="ignore"):
        _, (report,) = ours(optim.NewtonCG, closure, np.array([1.0]), 1)
    np.testing.assert_allclose(calls, [1.0, 0.0, 1.0, 0.75, 1.0, 0.9375], atol=1e-12)
    assert (report.step_norm, report.radius) == (0.0625, 0.125)
    assert report.evaluations == 6


def test_a_hessian_that_is_not_finite_is_said():
    x = mg.tensor([0.0], dtype="float64", requires_grad=True)
    with (
        np.errstate(all="ignore"),
        pytest.raises(RuntimeError, match=r"NewtonCG\.step: a product with the Hessian is not finite"),
    ):
        optim.NewtonCG([x]).step(lambda: (x**1.5 + x).sum())
    assert x.tolist() == [0.0]


def test_no_step_is_longer_than_the_largest_radius():
    _, reports = ours(optim.NewtonCG, lambda x: x.sum(), np.zeros(3), 8, max_radius=5.0)
    np.testing.assert_allclose([r.step_norm for r in reports], [1, 2, 4, 5, 5, 5, 5, 5])


def test_max_cg_limits_the_products():
    A, b = quadratic(np.random.default_rng(0), 10, 1000.0)
    _, reports = ours(optim.NewtonCG, value(A, b), np.zeros(10), 3, max_cg=2, radius=1e3, forcing=1e-6)
    assert [r.products for r in reports] == [2, 2, 2]
    assert {r.inner for r in reports} == {LIMIT}


def test_a_run_is_resumed():
    x, y = (mg.tensor([-1.2, 1.0, 0.7], requires_grad=True) for _ in range(2))
    straight, stopped = optim.NewtonCG([x]), optim.NewtonCG([y])
    for i in range(25):
        straight.step(lambda: rosenbrock(x))
        stopped.step(lambda: rosenbrock(y))
        state = copy.deepcopy(stopped.state_dict())
        stopped = optim.NewtonCG([y], radius=0.1 + i)
        stopped.load_state_dict(state)
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    assert stopped.state[y] == straight.state[x]
    assert straight.state[x].keys() == {"radius", "n_iter", "func_evals"}


def test_a_closure_that_raises_on_the_way_leaves_the_point():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.NewtonCG([x])

    def closure():
        if x.tolist() != [1.0, 2.0]:
            raise ZeroDivisionError
        return (x * x).sum()

    with pytest.raises(ZeroDivisionError):
        optimizer.step(closure)
    assert x.tolist() == [1.0, 2.0]
    assert not optimizer.state[x]
