"""ConjugateGradient: each formula, exact and strong Wolfe searches, restarts, what is not finite, state."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import optim
from optim.conjugate_gradient import FORMULAS
from tests.strict_array import strict

from .closures import closure_of, network, parameter, quadratic, rosenbrock

every_formula = pytest.mark.parametrize("formula", FORMULAS)


@every_formula
@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_an_exact_search_solves_a_quadratic_of_n_in_n_iterations(formula, n):
    f, a, least = quadratic(n, seed=n, condition=20.0)
    x = parameter(np.zeros(n))
    optimizer = optim.ConjugateGradient(
        [x], max_iter=n, formula=formula, line_search_fn="exact", tolerance_grad=0, tolerance_change=0
    )
    optimizer.step(closure_of(optimizer, lambda: f(x)))
    assert np.abs(a @ (x.numpy() - least)).max() < 1e-6 * np.abs(a @ least).max()
    assert optimizer.report.iterations <= n
    assert optimizer.report.evaluations == 1 + 2 * optimizer.report.iterations
    assert optimizer.report.restarts == 0


@every_formula
def test_the_path_on_a_quadratic_is_that_of_the_reference(formula):
    """Linear conjugate gradients, Algorithm 5.2, at every step."""
    f, a, least = quadratic(6, condition=50.0)
    x = parameter(np.ones(6))
    optimizer = optim.ConjugateGradient(
        [x], max_iter=1, formula=formula, line_search_fn="exact", tolerance_grad=0, tolerance_change=0
    )
    closure = closure_of(optimizer, lambda: f(x))
    at, r = np.ones(6), a @ (np.ones(6) - least)
    p = -r
    for _ in range(5):
        optimizer.step(closure)
        alpha = r @ r / (p @ a @ p)
        at, before = at + alpha * p, r
        r = r + alpha * a @ p
        p = -r + (r @ r) / (before @ before) * p
        np.testing.assert_allclose(x.numpy(), at, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(optimizer.state[x]["t"], alpha, rtol=1e-6)


@pytest.mark.parametrize(
    ("formula", "beta"),
    [
        ("fletcher_reeves", lambda g, b, y, d: (g @ g) / (b @ b)),
        ("polak_ribiere", lambda g, b, y, d: max((g @ (g - b)) / (b @ b), 0)),
        ("hestenes_stiefel", lambda g, b, y, d: (g @ (g - b)) / ((g - b) @ d)),
        ("dai_yuan", lambda g, b, y, d: (g @ g) / ((g - b) @ d)),
        ("hager_zhang", lambda g, b, y, d: (y - 2 * d * (y @ y) / (y @ d)) @ g / (y @ d)),
    ],
)
def test_the_directions_follow_the_reference_formula(formula, beta):
    x = parameter([-1.2, 1.0, 0.7])
    optimizer = optim.ConjugateGradient([x], max_iter=1, max_eval=50, formula=formula, restart=math.inf)
    gradients, conjugate = [], 0
    closure = closure_of(optimizer, lambda: rosenbrock(x))
    for _ in range(12):
        before = optimizer.state[x].get("d") if gradients else None
        closure()
        gradients.append(x.grad.numpy().copy())
        optimizer.step(closure)
        if before is not None and not optimizer.report.restarts:
            g, b = gradients[-1], gradients[-2]
            np.testing.assert_allclose(
                optimizer.state[x]["d"], -g + beta(g, b, g - b, before) * before, rtol=1e-9, atol=1e-12
            )
            conjugate += 1
    assert conjugate >= 5


@every_formula
def test_rosenbrock(formula):
    x = parameter([-1.2, 1.0])
    optimizer = optim.ConjugateGradient([x], max_iter=2000, tolerance_change=0, formula=formula)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    np.testing.assert_allclose(x.numpy(), 1, atol=1e-5)
    assert optimizer.report.stopped == "gradient below tolerance_grad"


@every_formula
@pytest.mark.parametrize("scale", [1e-290, 1e-150, 1e-30, 1e-10, 1.0, 1e10, 1e30, 1e150, 1e290])
def test_the_unit_of_the_loss_does_not_matter(formula, scale):
    f, _, least = quadratic(6, condition=20.0)
    x = parameter(np.zeros(6))
    optimizer = optim.ConjugateGradient(
        [x], max_iter=40, max_eval=90, formula=formula, tolerance_grad=0, tolerance_change=0
    )
    optimizer.step(closure_of(optimizer, lambda: scale * f(x)))
    np.testing.assert_allclose(x.numpy(), least, atol=1e-5)


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(FORMULAS)),
    st.sampled_from(["strong_wolfe", "exact"]),
    st.integers(1, 10),
    st.integers(0, 10**6),
    st.floats(0, 3),
)
def test_it_descends_monotonically_on_convex_quadratics(formula, search, n, seed, exponent):
    f, _, _ = quadratic(n, seed, 10**exponent)
    x = parameter(np.zeros(n))
    optimizer = optim.ConjugateGradient(
        [x], max_iter=1, max_eval=60, formula=formula, line_search_fn=search, tolerance_change=0
    )
    losses = [optimizer.step(closure_of(optimizer, lambda: f(x))).item() for _ in range(20)]
    assert all(b < a or a < 1e-12 * losses[0] for a, b in pairwise(losses))


def test_it_restarts_where_gradients_are_not_orthogonal():
    restarts = {}
    for restart in (0.01, math.inf):
        x = parameter([-1.2, 1.0])
        optimizer = optim.ConjugateGradient([x], max_iter=15, restart=restart, formula="fletcher_reeves")
        optimizer.step(closure_of(optimizer, lambda x=x: rosenbrock(x)))
        restarts[restart] = optimizer.report.restarts
    assert restarts[0.01] > restarts[math.inf]


def test_the_report_tells_of_wolfe():
    x = parameter([-1.2, 1.0])
    optimizer = optim.ConjugateGradient([x], max_iter=1, max_eval=20, c2=0.1)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    assert optimizer.report.wolfe is True
    x = parameter([-1.2, 1.0])
    optimizer = optim.ConjugateGradient([x], max_iter=1, max_eval=1, c2=0.01)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    assert optimizer.report.wolfe is False


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("search", ["strong_wolfe", "exact"])
def test_what_is_not_finite_is_too_long_a_step(search, bad):
    x = parameter([-30.0])
    optimizer = optim.ConjugateGradient([x], lr=100, max_iter=60, line_search_fn=search)
    seen = []

    def closure():
        at = x.item()
        seen.append(at)
        x.grad = np.array([1 / (1 - at) - 2 if at < 1 else bad])
        return -math.log(1 - at) - 2 * at if at < 1 else bad

    for _ in range(3):
        optimizer.step(closure)
        assert math.isfinite(x.item())
    assert max(seen) > 1, "nothing was tested"
    if search == "strong_wolfe":
        np.testing.assert_allclose(x.numpy(), 0.5, atol=1e-4)


def test_a_start_that_is_not_finite_changes_nothing():
    x = parameter([-1.0])
    optimizer = optim.ConjugateGradient([x])
    optimizer.step(closure_of(optimizer, lambda: (x * math.nan).sum()))
    assert (x.item(), optimizer.report.stopped) == (-1.0, "loss or gradient not finite")


def test_where_nothing_is_lower_it_says_so():
    x = parameter([1.0])

    def closure():  # a gradient of the wrong sign
        x.grad = np.array([-1.0])
        return x.item()

    optimizer = optim.ConjugateGradient([x], max_iter=5)
    optimizer.step(closure)
    assert (x.item(), optimizer.report.stopped) == (1.0, "no lower point found")
    assert optimizer.report.wolfe is False


def test_maximize_is_minimizing_the_negative():
    ends = []
    for sign, maximize in ((1, False), (-1, True)):
        x = parameter([-1.2, 1.0])
        optimizer = optim.ConjugateGradient([x], maximize=maximize)
        optimizer.step(closure_of(optimizer, lambda x=x, sign=sign: sign * rosenbrock(x)))
        ends.append(x.numpy().copy())
    np.testing.assert_array_equal(*ends)


@every_formula
def test_it_runs_on_strict_arrays(formula):
    ends = []
    for wrap in (np.array, strict):
        x, z = (mg.Tensor(wrap(np.array(v))).requires_grad_() for v in ([-1.2, 0.5], 1.0))
        optimizer = optim.ConjugateGradient([x, z], max_iter=6, formula=formula)
        closure = closure_of(optimizer, lambda x=x, z=z: rosenbrock(mg.concatenate([x, z.reshape(1)])))
        for _ in range(2):
            optimizer.step(closure)
            optimizer.load_state_dict(optimizer.state_dict())
        ends.append(np.append(x.numpy(), z.numpy()))
    np.testing.assert_array_equal(*ends)


@every_formula
def test_resumes_exactly(formula):
    def trained(interrupt_at):
        model, loss_of, _ = network()
        optimizer = optim.ConjugateGradient(model.parameters(), max_iter=3, formula=formula)
        for k in range(6):
            if k == interrupt_at:
                saved = optimizer.state_dict()
                optimizer = optim.ConjugateGradient(model.parameters())
                optimizer.load_state_dict(saved)
            optimizer.step(closure_of(optimizer, loss_of))
        return [p.numpy() for p in model.parameters()]

    for k in (1, 4):
        for a, b in zip(trained(k), trained(None), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("at", range(1, 12))
def test_an_error_in_a_trial_leaves_the_point_before_it(at):
    def trained(fail_at):
        x = parameter([-1.2, 1.0])
        optimizer = optim.ConjugateGradient([x], max_iter=20)
        count = 0

        def loss_of():
            nonlocal count
            count += 1
            if count == fail_at:
                raise ZeroDivisionError
            return rosenbrock(x)

        try:
            optimizer.step(closure_of(optimizer, loss_of))
        except ZeroDivisionError:
            optimizer.param_groups[0]["max_iter"] = 20 - optimizer.state[x].get("n_iter", 0)
            optimizer.step(closure_of(optimizer, loss_of))
        return x.numpy()

    np.testing.assert_array_equal(trained(at), trained(None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"formula": "perry"}, "formula must be one of 'fletcher_reeves', .* got 'perry'"),
        ({"line_search_fn": None}, "line_search_fn must be one of 'strong_wolfe', 'exact', got None"),
        ({"c2": 1.0}, r"c2 must be in \(0.0001, 1.0\), got 1.0"),
        ({"restart": 0}, r"restart must be in \(0.0, inf"),
        ({"lr": -1}, "lr must be in"),
        ({"max_iter": -1}, "max_iter must be a whole number from 0, got -1"),
    ],
)
def test_raises_for_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        optim.ConjugateGradient([parameter([1.0])], **settings)


@pytest.mark.parametrize("key", ["t", "prev_loss", "slope", "func_evals", "n_iter"])
def test_raises_for_a_state_whose_numbers_are_none(key):
    x = parameter([1.0, 2.0])
    optimizer = optim.ConjugateGradient([x], max_iter=2)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    saved = optimizer.state_dict()
    saved["state"][0][key] = "a"
    with pytest.raises(TypeError, match=rf"ConjugateGradient.load_state_dict: {key} must be a number, got 'a'"):
        optimizer.load_state_dict(saved)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))


def test_raises_without_a_closure():
    with pytest.raises(TypeError, match=r"ConjugateGradient\.step: expected a closure"):
        optim.ConjugateGradient([parameter([1.0])]).step()


def test_raises_where_the_prediction_is_computed_outside():
    x = parameter([1.0, 2.0])
    prediction = x * 3
    optimizer = optim.ConjugateGradient([x])
    with pytest.raises(RuntimeError, match=r"ConjugateGradient\.step: .*inside the closure, the prediction too"):
        optimizer.step(closure_of(optimizer, lambda: (prediction * prediction).sum()))
    np.testing.assert_array_equal(x.numpy(), [1, 2])
