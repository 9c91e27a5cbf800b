"""Every problem against a loop over the paper's formula, its derivatives, and its minima."""

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from optim.study import problems
from optim.study.problems import PROBLEMS
from tests.strict_array import DEVICE, StrictArray

exp, sin, cos, sqrt = math.exp, math.sin, math.cos, math.sqrt


def total(residuals):
    return sum(r * r for r in residuals)


# --- the formulas as the papers print them: indices from 1, one number at a time


def _himmelblau(x, y):
    return (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2


def _rastrigin(*x):
    return 10 * len(x) + sum(z * z - 10 * cos(2 * math.pi * z) for z in x)


def _ackley(*x):
    n = len(x)
    return (
        -20 * exp(-0.2 * sqrt(sum(z * z for z in x) / n))
        - exp(sum(cos(2 * math.pi * z) for z in x) / n)
        + 20
        + math.exp(1)
    )


def _rosenbrock(*x):
    return sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(len(x) - 1))


def _freudenstein_roth(x1, x2):
    return total([-13 + x1 + ((5 - x2) * x2 - 2) * x2, -29 + x1 + ((x2 + 1) * x2 - 14) * x2])


def _powell_badly_scaled(x1, x2):
    return total([10**4 * x1 * x2 - 1, exp(-x1) + exp(-x2) - 1.0001])


def _brown_badly_scaled(x1, x2):
    return total([x1 - 10**6, x2 - 2e-6, x1 * x2 - 2])


def _beale(x1, x2):
    return total(y - x1 * (1 - x2**i) for i, y in [(1, 1.5), (2, 2.25), (3, 2.625)])


def _jennrich_sampson(x1, x2):
    return total(2 + 2 * i - (exp(i * x1) + exp(i * x2)) for i in range(1, 11))


def _helical_valley(x1, x2, x3):
    theta = math.atan(x2 / x1) / (2 * math.pi) + (0 if x1 > 0 else 0.5)
    return total([10 * (x3 - 10 * theta), 10 * (sqrt(x1**2 + x2**2) - 1), x3])


def _bard(x1, x2, x3):
    y = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]
    return total(y[u - 1] - (x1 + u / ((16 - u) * x2 + min(u, 16 - u) * x3)) for u in range(1, 16))


def _gaussian(x1, x2, x3):
    y = {1: 0.0009, 2: 0.0044, 3: 0.0175, 4: 0.0540, 5: 0.1295, 6: 0.2420, 7: 0.3521, 8: 0.3989}
    return total(x1 * exp(-x2 * ((8 - i) / 2 - x3) ** 2 / 2) - y[min(i, 16 - i)] for i in range(1, 16))


def _meyer(x1, x2, x3):
    y = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]
    return total(x1 * exp(x2 / (45 + 5 * i + x3)) - y[i - 1] for i in range(1, 17))


def _gulf(x1, x2, x3):
    residuals = []
    for i in range(1, 100):
        t = i / 100
        y = 25 + (-50 * math.log(t)) ** (2 / 3)
        residuals.append(exp(-(abs(y - x2) ** x3) / x1) - t)
    return total(residuals)


def _box(x1, x2, x3):
    times = [0.1 * i for i in range(1, 11)]
    return total(exp(-t * x1) - exp(-t * x2) - x3 * (exp(-t) - exp(-10 * t)) for t in times)


def _powell_singular(*x):
    residuals = []
    for x1, x2, x3, x4 in zip(x[0::4], x[1::4], x[2::4], x[3::4], strict=True):
        residuals += [x1 + 10 * x2, sqrt(5) * (x3 - x4), (x2 - 2 * x3) ** 2, sqrt(10) * (x1 - x4) ** 2]
    return total(residuals)


def _wood(x1, x2, x3, x4):
    return (
        100 * (x2 - x1**2) ** 2
        + (1 - x1) ** 2
        + 90 * (x4 - x3**2) ** 2
        + (1 - x3) ** 2
        + 10 * (x2 + x4 - 2) ** 2
        + 0.1 * (x2 - x4) ** 2
    )


def _kowalik_osborne(x1, x2, x3, x4):
    y = [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
    u = [4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]
    return total(y[i] - x1 * (u[i] ** 2 + u[i] * x2) / (u[i] ** 2 + u[i] * x3 + x4) for i in range(11))


def _brown_dennis(x1, x2, x3, x4):
    times = [i / 5 for i in range(1, 21)]
    return total((x1 + t * x2 - exp(t)) ** 2 + (x3 + x4 * sin(t) - cos(t)) ** 2 for t in times)


OSBORNE1 = """
.844 .908 .932 .936 .925 .908 .881 .850 .818 .784 .751 .718 .685 .658 .628 .603 .580 .558 .538 .522 .506 .490
.478 .467 .457 .448 .438 .431 .424 .420 .414 .411 .406"""


def _osborne1(x1, x2, x3, x4, x5):
    y = [float(word) for word in OSBORNE1.split()]
    return total(y[i] - (x1 + x2 * exp(-10 * i * x4) + x3 * exp(-10 * i * x5)) for i in range(33))


def _biggs(x1, x2, x3, x4, x5, x6):
    residuals = []
    for i in range(1, 14):
        t = 0.1 * i
        y = exp(-t) - 5 * exp(-10 * t) + 3 * exp(-4 * t)
        residuals.append(x3 * exp(-t * x1) - x4 * exp(-t * x2) + x6 * exp(-t * x5) - y)
    return total(residuals)


OSBORNE2 = """
1.366 1.191 1.112 1.013 .991 .885 .831 .847 .786 .725 .746 .679 .608 .655 .616 .606 .602 .626 .651 .724 .649
.649 .694 .644 .624 .661 .612 .558 .533 .495 .500 .423 .395 .375 .372 .391 .396 .405 .428 .429 .523 .562 .607 .653 .672
.708 .633 .668 .645 .632 .591 .559 .597 .625 .739 .710 .729 .720 .636 .581 .428 .292 .162 .098 .054"""


def _osborne2(x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11):
    residuals = []
    for i, word in enumerate(OSBORNE2.split(), 1):
        t = (i - 1) / 10
        model = x1 * exp(-t * x5) + x2 * exp(-((t - x9) ** 2) * x6)
        model += x3 * exp(-((t - x10) ** 2) * x7) + x4 * exp(-((t - x11) ** 2) * x8)
        residuals.append(float(word) - model)
    return total(residuals)


def _watson(*x):
    n = len(x)
    residuals = [x[0], x[1] - x[0] ** 2 - 1]
    for i in range(1, 30):
        t = i / 29
        slope = sum((j - 1) * x[j - 1] * t ** (j - 2) for j in range(2, n + 1))
        residuals.append(slope - sum(x[j - 1] * t ** (j - 1) for j in range(1, n + 1)) ** 2 - 1)
    return total(residuals)


def _extended_rosenbrock(*x):
    return sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(0, len(x), 2))


def _penalty1(*x):
    return total([sqrt(1e-5) * (z - 1) for z in x] + [sum(z * z for z in x) - 0.25])


def _penalty2(*x):
    n = len(x)
    residuals = [x[0] - 0.2]
    for i in range(2, n + 1):
        y = exp(i / 10) + exp((i - 1) / 10)
        residuals.append(sqrt(1e-5) * (exp(x[i - 1] / 10) + exp(x[i - 2] / 10) - y))
    for i in range(n + 1, 2 * n):
        residuals.append(sqrt(1e-5) * (exp(x[i - n] / 10) - exp(-1 / 10)))
    residuals.append(sum((n - j + 1) * x[j - 1] ** 2 for j in range(1, n + 1)) - 1)
    return total(residuals)


def _variably_dimensioned(*x):
    s = sum(j * (z - 1) for j, z in enumerate(x, 1))
    return total([z - 1 for z in x] + [s, s**2])


def _trigonometric(*x):
    n = len(x)
    return total(n - sum(map(cos, x)) + i * (1 - cos(z)) - sin(z) for i, z in enumerate(x, 1))


def _brown_almost_linear(*x):
    return total([z + sum(x) - (len(x) + 1) for z in x[:-1]] + [math.prod(x) - 1])


def _discrete_boundary_value(*x):
    n = len(x)
    h, padded = 1 / (n + 1), [0, *x, 0]
    return total(
        2 * padded[i] - padded[i - 1] - padded[i + 1] + h**2 * (padded[i] + i * h + 1) ** 3 / 2 for i in range(1, n + 1)
    )


def _discrete_integral_equation(*x):
    n = len(x)
    h = 1 / (n + 1)
    residuals = []
    for i in range(1, n + 1):
        before = sum(j * h * (x[j - 1] + j * h + 1) ** 3 for j in range(1, i + 1))
        after = sum((1 - j * h) * (x[j - 1] + j * h + 1) ** 3 for j in range(i + 1, n + 1))
        residuals.append(x[i - 1] + h * ((1 - i * h) * before + i * h * after) / 2)
    return total(residuals)


def _broyden_tridiagonal(*x):
    padded = [0, *x, 0]
    return total((3 - 2 * padded[i]) * padded[i] - padded[i - 1] - 2 * padded[i + 1] + 1 for i in range(1, len(x) + 1))


def _broyden_banded(*x):
    n = len(x)
    residuals = []
    for i in range(1, n + 1):
        near = [j for j in range(max(1, i - 5), min(n, i + 1) + 1) if j != i]
        residuals.append(x[i - 1] * (2 + 5 * x[i - 1] ** 2) + 1 - sum(x[j - 1] * (1 + x[j - 1]) for j in near))
    return total(residuals)


def _linear_full_rank(*x):
    n = len(x)
    m = 2 * n
    return total([z - 2 / m * sum(x) - 1 for z in x] + [-2 / m * sum(x) - 1 for _ in range(n, m)])


def _linear_rank1(*x):
    s = sum(j * z for j, z in enumerate(x, 1))
    return total(i * s - 1 for i in range(1, 2 * len(x) + 1))


def _linear_rank1_zeros(*x):
    n = len(x)
    s = sum(j * x[j - 1] for j in range(2, n))
    return total([-1, -1] + [(i - 1) * s - 1 for i in range(2, 2 * n)])


def _chebyquad(*x):
    n = len(x)
    residuals = []
    for i in range(1, n + 1):
        mean = sum(cos(i * math.acos(2 * z - 1)) for z in x) / n  # on [0, 1] only
        residuals.append(mean - (0 if i % 2 else -1 / (i * i - 1)))
    return total(residuals)


LOOPS = {
    "himmelblau": _himmelblau,
    "booth": lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2,
    "rastrigin": _rastrigin,
    "ackley": _ackley,
    "saddle": lambda x, y: x * x / 2 + y**4 / 4 - y * y / 2,
    "ravine": lambda x, y: (x * x + 100 * y * y) / 2,
    "rosenbrock": _rosenbrock,
    "freudenstein_roth": _freudenstein_roth,
    "powell_badly_scaled": _powell_badly_scaled,
    "brown_badly_scaled": _brown_badly_scaled,
    "beale": _beale,
    "jennrich_sampson": _jennrich_sampson,
    "helical_valley": _helical_valley,
    "bard": _bard,
    "gaussian": _gaussian,
    "meyer": _meyer,
    "gulf": _gulf,
    "box": _box,
    "powell_singular": _powell_singular,
    "wood": _wood,
    "kowalik_osborne": _kowalik_osborne,
    "brown_dennis": _brown_dennis,
    "osborne1": _osborne1,
    "biggs": _biggs,
    "osborne2": _osborne2,
    "watson": _watson,
    "extended_rosenbrock": _extended_rosenbrock,
    "extended_powell_singular": _powell_singular,
    "penalty1": _penalty1,
    "penalty2": _penalty2,
    "variably_dimensioned": _variably_dimensioned,
    "trigonometric": _trigonometric,
    "brown_almost_linear": _brown_almost_linear,
    "discrete_boundary_value": _discrete_boundary_value,
    "discrete_integral_equation": _discrete_integral_equation,
    "broyden_tridiagonal": _broyden_tridiagonal,
    "broyden_banded": _broyden_banded,
    "linear_full_rank": _linear_full_rank,
    "linear_rank1": _linear_rank1,
    "linear_rank1_zeros": _linear_rank1_zeros,
    "chebyquad": _chebyquad,
}

PUBLISHED = {  # the least values that the paper prints, and the dimensions it prints them for
    ("freudenstein_roth", 2): (0, 48.9842),
    ("jennrich_sampson", 2): (124.362,),
    ("bard", 3): (8.21487e-3, 17.4286),
    ("gaussian", 3): (1.12793e-8,),
    ("meyer", 3): (87.9458,),
    ("kowalik_osborne", 4): (3.07505e-4, 1.02734e-3),
    ("brown_dennis", 4): (85822.2,),
    ("osborne1", 5): (5.46489e-5,),
    ("biggs", 6): (0, 5.65565e-3),
    ("osborne2", 11): (4.01377e-2,),
    ("watson", 6): (2.28767e-3,),
    ("watson", 9): (1.39976e-6,),
    ("watson", 12): (4.72238e-10,),
    ("penalty1", 4): (2.24997e-5,),
    ("penalty1", 10): (7.08765e-5,),
    ("penalty2", 4): (9.37629e-6,),
    ("penalty2", 10): (2.93660e-4,),
    ("trigonometric", 10): (0, 2.79506e-5),
    ("brown_almost_linear", 10): (0, 1),
    ("linear_full_rank", 10): (20 - 10,),
    ("linear_rank1", 10): (20 * 19 / (2 * 41),),
    ("linear_rank1_zeros", 10): ((20**2 + 3 * 20 - 6) / (2 * (2 * 20 - 3)),),
    ("chebyquad", 8): (3.51687e-3,),
    ("chebyquad", 10): (4.77271e-3, 6.50395e-3),
}


def sizes(name):
    """The problem as it stands and, where there are others, in two more dimensions."""
    problem = PROBLEMS[name]
    others = [n for n in (problem.dimensions[0], *problem.dimensions[3:5]) if n != problem.n]
    return [problem, *map(problem.at, others if len(problem.dimensions) > 1 else ())]


def points(problem, count=20, seed=0):
    low, high = problem.domain.T
    return np.random.default_rng(seed).uniform(low, high, (count, problem.n))


def value_and_gradient(problem):
    def function(x):
        value, gradient = mg.vjp(problem, mg.tensor(x))
        return value.item(), gradient.numpy()

    return function


def descended(problem, start):
    """The value that SciPy reaches: by least squares where there are residuals, else by BFGS."""
    if problem.residuals is None:
        return scipy.optimize.minimize(value_and_gradient(problem), start, jac=True, options={"gtol": 1e-10}).fun
    done = scipy.optimize.least_squares(
        problem.residuals,
        start,
        lambda x: mg.jacobian(problem.residuals, mg.tensor(x)).numpy(),
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        x_scale="jac",
        max_nfev=2000,
        method="lm" if len(problem.residuals(start)) >= problem.n else "trf",
    )
    return 2 * done.cost


every = pytest.mark.parametrize("name", PROBLEMS)


def test_the_list_is_whole():
    assert set(LOOPS) == set(PROBLEMS)
    assert all(getattr(problems, name) is problem for name, problem in PROBLEMS.items())
    numbers = [p.reference.split()[1].strip(",;") for p in PROBLEMS.values() if p.reference.startswith("MGH")]
    assert sorted(map(int, numbers)) == list(range(1, 36))
    assert all(problem.__doc__ and problem.name for problem in PROBLEMS.values())


@every
def test_values(name):
    for problem in sizes(name):
        for x in [problem.start, *problem.minima, *points(problem)]:
            if name == "helical_valley" and x[0] == 0:
                continue
            expected = LOOPS[name](*x.tolist())
            assert problem(x) == pytest.approx(expected, rel=1e-9, abs=1e-12 + 1e-14 * abs(problem(problem.start)))
            assert problem(mg.tensor(x)).item() == pytest.approx(problem(x), rel=1e-12)
            if problem.residuals is not None:
                assert np.square(problem.residuals(x)).sum() == pytest.approx(problem(x), rel=1e-14)


@every
def test_gradients(name):
    for problem in sizes(name):
        x = problem.start if name in ("meyer", "gulf") else points(problem, 1, seed=3)[0]
        with np.errstate(over="raise", invalid="raise"):
            value, gradient = value_and_gradient(problem)(x)
        steps = 1e-6 * np.maximum(1e-6 * np.ptp(problem.domain, axis=1), np.abs(x))
        for i, step in enumerate(steps):
            e = step * np.eye(problem.n)[i]
            difference = (LOOPS[name](*(x + e)) - LOOPS[name](*(x - e))) / (2 * step)
            assert gradient[i] == pytest.approx(difference, rel=2e-5, abs=1e-8 * abs(value / step) + 1e-7)


@every
def test_second_derivatives(name):
    problem = PROBLEMS[name]
    x = problem.start if name in ("meyer", "gulf") else points(problem, 1, seed=5)[0]
    scale = np.maximum(1e-6 * np.ptp(problem.domain, axis=1), np.abs(x))
    v = scale * np.random.default_rng(7).standard_normal(problem.n)
    gradient = value_and_gradient(problem)
    difference = (gradient(x + 1e-6 * v)[1] - gradient(x - 1e-6 * v)[1]) / 2e-6
    _, product = mg.hvp(problem, mg.tensor(x), mg.tensor(v))
    assert product.numpy() * scale == pytest.approx(difference * scale, rel=1e-5, abs=1e-6 * abs(difference @ scale))


@every
def test_minima(name):
    for problem in sizes(name):
        for x in problem.minima:
            value, gradient = value_and_gradient(problem)(x)
            assert value == pytest.approx(problem.minimum, rel=1e-10, abs=1e-20 if name != "ackley" else 1e-15)
            if name != "ackley":  # a kink
                hessian = mg.hessian(problem, mg.tensor(x)).numpy()
                assert np.linalg.eigvalsh(hessian)[0] >= -1e-9 * np.abs(hessian).max()
                # what rounding x to its digits may leave: relative to the curvature in each coordinate
                scale = np.abs(x) + 1e-3 * np.ptp(problem.domain, axis=1)
                assert np.all(np.abs(gradient) <= 1e-9 * (np.abs(hessian) @ scale)), gradient
        if problem.minimum is not None:
            values = [problem(x) for x in points(problem, 2000)]
            assert min(values) >= problem.minimum - 1e-12 * abs(problem.minimum)


def test_the_minimum_of_ackley_is_a_kink():
    assert problems.ackley(np.zeros(2)) == pytest.approx(0, abs=1e-14)
    for direction in np.random.default_rng(0).standard_normal((10, 2)):
        step = 1e-6 * direction / np.linalg.norm(direction)
        assert problems.ackley(step) / 1e-6 == pytest.approx(20 * 0.2 / math.sqrt(2), rel=1e-3)
    assert value_and_gradient(problems.ackley)(np.zeros(2))[1].tolist() == [0, 0]


@every
def test_a_descent_from_the_start_ends_at_a_known_value(name):
    problem = PROBLEMS[name]
    reached = descended(problem, problem.start)
    known = [problem.minimum, *problem.local_minima]
    assert any(reached == pytest.approx(value, rel=1e-9, abs=1e-15) for value in known), (reached, known)


@pytest.mark.parametrize("key", PUBLISHED, ids=str)
def test_published_values(key):
    name, n = key
    problem = PROBLEMS[name].at(n)
    assert [problem.minimum, *problem.local_minima] == pytest.approx(PUBLISHED[key], rel=6e-6)
    if not problem.minima.size:
        starts = [problem.start, *np.random.default_rng(0).uniform(0, 1, (5, n))]
        reached = [descended(problem, start) for start in starts]
        assert min(reached) == pytest.approx(problem.minimum, rel=1e-6)


def test_local_minima_away_from_the_starts():
    far = np.array([np.mean(problems.BARD), -1e9, -1e9])
    assert problems.bard(far) == pytest.approx(problems.bard.local_minima[0], rel=1e-7)
    value, gradient = value_and_gradient(problems.brown_almost_linear)(np.array([0.0] * 9 + [11.0]))
    assert (value, gradient.any()) == (1, False)
    start = np.array([1e8, -14.07, -1e8, -1e8])
    fixed = scipy.optimize.minimize(
        lambda z: problems.kowalik_osborne(start * [z[0], z[1], z[2], 1]), [1, 1, 1], method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-16, "maxiter": 4000},
    )  # fmt: skip
    assert fixed.fun == pytest.approx(problems.kowalik_osborne.local_minima[0], rel=1e-4)
    assert descended(problems.chebyquad.at(10), problems.chebyquad.at(10).start) == pytest.approx(0.006503954800882)


@every
def test_many_points_at_once(name):
    problem = PROBLEMS[name]
    x = points(problem, 6).T.reshape(problem.n, 2, 3)
    values = problem(x)
    assert values.shape == (2, 3)
    assert problem(mg.tensor(x)).numpy() == pytest.approx(values, rel=1e-12)
    for i, j in np.ndindex(2, 3):
        assert values[i, j] == pytest.approx(problem(x[:, i, j]), rel=1e-12)


@every
def test_float32_stays(name):
    problem = PROBLEMS[name]
    x = mg.tensor(problem.start, dtype="float32", requires_grad=True)
    value = problem(x)
    assert value.dtype == mg.grad(value, x).dtype == np.float32
    assert problem(x.numpy()).dtype == np.float32


@every
def test_arrays_of_another_kind(name):
    problem = PROBLEMS[name]
    x = mg.Tensor(StrictArray(problem.start, DEVICE), requires_grad=True)
    value = problem(x)
    (gradient,) = mg.grad([value], [x])
    assert value.device == gradient.device == DEVICE


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_rosenbrock_is_scipys(n, seed):
    x = np.random.default_rng(seed).uniform(-2, 2, n)
    value, gradient = value_and_gradient(problems.rosenbrock.at(n))(x)
    assert value == pytest.approx(scipy.optimize.rosen(x), rel=1e-12)
    assert gradient == pytest.approx(scipy.optimize.rosen_der(x), rel=1e-9, abs=1e-9)


def test_what_is_handed_out_is_a_copy():
    problems.beale.start[:] = 7
    problems.beale.minima[:] = 7
    problems.beale.domain[:] = 7
    assert problems.beale.start.tolist() == [1, 1]
    assert problems.beale.minima.tolist() == [[3, 0.5]]
    assert problems.beale.domain.tolist() == [[-4.5, 4.5]] * 2
    assert problems.rosenbrock.at(5).n == 5
    assert problems.rosenbrock.n == 2


def test_errors():
    with pytest.raises(ValueError, match=r"Beale: expected a point of shape \(2,\), got one of shape \(3,\)"):
        problems.beale(np.ones(3))
    with pytest.raises(ValueError, match=r"Beale: expected a point of shape \(2,\), got one of shape \(\)"):
        problems.beale(np.array(1.0))
    for wrong in ([1.0, 2.0], np.array([1, 2]), None):
        with pytest.raises(TypeError, match=r"Beale: expected a Tensor or an array of floating-point numbers, got"):
            problems.beale(wrong)
    with pytest.raises(ValueError, match=r"Wood: expected a dimension n of 4, got 6"):
        problems.wood.at(6)
    with pytest.raises(ValueError, match=r"Extended Powell singular: expected a dimension n of 4, 8, 12, ..., got 6"):
        problems.extended_powell_singular.at(6)


def test_a_problem_of_ones_own():
    bowl = problems.Problem(lambda x: x - 1, "Bowl", "none", start=[0.0, 0.0], domain=(-1, 3), minima=[[1, 1]])
    assert (bowl(bowl.start), bowl.minimum, bowl.n, repr(bowl)) == (2, 0.0, 2, "Problem('Bowl', n=2)")


def test_importing_optim_does_not_import_study():
    code = "import sys, optim; print('optim.study' in sys.modules); import optim.study; optim.study.problems.beale"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
