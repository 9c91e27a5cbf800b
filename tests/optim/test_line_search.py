"""Where the search says that the strong Wolfe conditions hold, they do; what is not finite is too long a step."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from optim.line_search import StrongWolfe, Trial, halved, lower, minimizer


def phi_of(f, slope):
    """φ from a function and its derivative, with a list of the t that it was called at."""
    called = []

    def phi(t):
        called.append(t)
        with np.errstate(all="ignore"):
            value, rise = float(f(np.float64(t))), float(slope(np.float64(t)))
        return Trial(t, t, value, np.array([rise]), rise)

    return phi, called


def polynomial(roots_of_slope, sign=1.0):
    """A polynomial whose slope has these roots, and is negative at 0."""
    slope = np.poly1d(roots_of_slope, r=True)
    slope *= -sign if slope(0) > 0 else sign
    return np.polyint(slope), slope


FUNCTIONS = {
    "quadratic": lambda a: (lambda t: a * (t - 1) ** 2, lambda t: 2 * a * (t - 1)),
    "far away": lambda a: (lambda t: (t / 50 - a) ** 2, lambda t: 2 * (t / 50 - a) / 50),
    "cosine": lambda a: (lambda t: np.cos(t + 0.3) * a, lambda t: -np.sin(t + 0.3) * a),
    "barrier": lambda a: (lambda t: -np.log(1 - t) * a - 3 * a * t, lambda t: a / (1 - t) - 3 * a),
    "exponential": lambda a: (lambda t: np.exp(a * t) - 2 * a * t, lambda t: a * np.exp(a * t) - 2 * a),
    "Moré and Thuente 1": lambda a: (lambda t: -t / (t * t + a), lambda t: (t * t - a) / (t * t + a) ** 2),
    "unbounded": lambda a: (lambda t: -a * t, lambda t: -a),
    "kink": lambda a: (lambda t: abs(t - a), lambda t: math.copysign(1.0, t - a)),
}


def conditions(start, trial, c1, c2):
    return (
        trial.value <= start.value + c1 * trial.t * start.slope,  # (3.7a)
        abs(trial.slope) <= c2 * abs(start.slope),  # (3.7b)
    )


@given(
    st.sampled_from(sorted(FUNCTIONS)),
    st.floats(0.01, 30),
    st.floats(-4, 4),
    st.sampled_from([(1e-4, 0.9), (1e-4, 0.1), (0.1, 0.4)]),
    st.integers(0, 30),
)
def test_satisfied_is_true(name, a, exponent, constants, evaluations):
    f, slope = FUNCTIONS[name](a)
    phi, called = phi_of(f, slope)
    start = phi(0.0)
    assume(start.slope < 0)
    search = StrongWolfe(phi, start, *constants, evaluations=evaluations)
    trial = search.search(10**exponent)
    holds = all(conditions(start, trial, *constants))
    assert search.satisfied(trial) == (trial.finite and trial.t > 0 and holds)
    assert trial.finite
    assert trial.value <= start.value
    assert len(called) <= 2 + evaluations
    assert trial.t == 0 or trial.t in called


@given(st.lists(st.floats(0.05, 5), min_size=1, max_size=3, unique=True), st.floats(-2, 1.5))
def test_it_succeeds_on_polynomials(roots, exponent):
    f, slope = polynomial([*roots, *roots[:1]] if len(roots) % 2 == 0 else roots)
    phi, _ = phi_of(f, slope)
    start = phi(0.0)
    assume(start.slope < -1e-3)
    search = StrongWolfe(phi, start, evaluations=60)
    trial = search.search(10**exponent)
    assert search.satisfied(trial) or search.exhausted
    if exponent < 0.5 and len(roots) == 1:
        assert search.satisfied(trial)


@pytest.mark.parametrize("beyond", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("edge", [1e-3, 0.7, 3.0])
@pytest.mark.parametrize("what", ["value", "slope"])
def test_what_is_not_finite_is_too_long(beyond, edge, what):
    f = lambda t: beyond if t > edge and what == "value" else (t - 2 * edge) ** 2
    slope = lambda t: beyond if t > edge and what == "slope" else 2 * (t - 2 * edge)
    phi, called = phi_of(f, slope)
    start = phi(0.0)
    trial = StrongWolfe(phi, start).search(1.0)
    assert trial.finite
    assert 0 < trial.t <= edge
    assert trial.value < start.value
    assert len(called) <= 27


def test_where_nothing_is_finite_it_ends_at_the_start():
    phi, _ = phi_of(lambda t: 1.0 if t == 0 else math.nan, lambda t: -1.0)
    start = phi(0.0)
    search = StrongWolfe(phi, start, evaluations=10)
    assert search.search(1.0) is start
    assert not search.satisfied(start)
    assert search.exhausted


def test_a_short_interval_is_not_divided():
    phi, called = phi_of(lambda t: t if t > 0 else 0.0, lambda t: -1.0 if t == 0 else 1.0)  # no lower point
    start = phi(0.0)
    search = StrongWolfe(phi, start, evaluations=1000, width=1e-3)
    assert search.search(1.0) is start
    assert not search.exhausted
    assert len(called) < 15


@given(st.floats(0.1, 10), st.floats(-3, 3))
def test_exact_finds_the_minimum_of_a_quadratic(a, exponent):
    phi, called = phi_of(lambda t: a * t * t - t, lambda t: 2 * a * t - 1)
    start = phi(0.0)
    trial = StrongWolfe(phi, start).exact(10**exponent)
    np.testing.assert_allclose(trial.t, 1 / (2 * a), rtol=1e-9)
    assert len(called) == 3


def test_exact_keeps_the_lowest_where_the_slope_falls():
    phi, _ = phi_of(lambda t: -t * t - t, lambda t: -2 * t - 1)
    assert StrongWolfe(phi, phi(0.0)).exact(2.0).t == 2.0


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.5, 5), st.floats(-5, 5))
def test_the_cubic_is_least_there(c0, c1, c3, c2):
    cubic = np.poly1d([c3, c2, c1, c0])
    slope = np.polyder(cubic)
    square = c2 * c2 - 3 * c3 * c1
    assume(square > 1e-3)
    least = (-c2 + math.sqrt(square)) / (3 * c3)
    a, b = (Trial(t, None, cubic(t), None, slope(t)) for t in (least - 0.7, least + 1.9))
    for one, other in ((a, b), (b, a)):
        np.testing.assert_allclose(minimizer(one, other, otherwise=math.nan), least, rtol=1e-6, atol=1e-6)


def test_the_cubic_of_no_minimum():
    a, b = Trial(0.0, None, 0.0, None, -1.0), Trial(1.0, None, -0.9, None, -1.0)
    assert minimizer(a, b, otherwise=7.0) == 7.0
    assert minimizer(a, a, otherwise=7.0) == 7.0
    assert minimizer(a, b._replace(value=math.inf), otherwise=7.0) == 7.0
    assert minimizer(a, Trial(1.0, None, -1.0, None, -1.0), otherwise=7.0) == 7.0  # a straight line


def test_the_lower_one():
    a, b = Trial(0.0, None, 1.0, None, -1.0), Trial(1.0, None, 1.0, None, -1.0)
    assert lower(a, b) is a
    assert lower(a, b._replace(value=0.0)).t == 1.0
    assert lower(a, b._replace(value=-math.inf)) is a
    assert lower(a, b._replace(value=0.0, slope=math.nan)) is a


def test_halved():
    phi, called = phi_of(lambda t: math.inf if t > 0.2 else t, lambda t: 1.0)
    assert halved(phi, phi(0.0), 1.0, 10).t == 0.125
    assert called == [0.0, 1.0, 0.5, 0.25, 0.125]
    assert halved(phi, phi(0.0), 1.0, 2).t == 0.0
