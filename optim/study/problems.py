"""Functions to try optimizers on: drawings' classics, and the collection of Moré, Garbow and Hillstrom.

Each is a `Problem`: called on a point it gives the value there, on a Tensor and on an array alike, and it knows where
to start and what the least value is. `PROBLEMS` has all of them by name.

"MGH 5" is number 5 of Moré, Garbow and Hillstrom, "Testing Unconstrained Optimization Software", ACM Transactions on
Mathematical Software 7 (1981), 17-41, whose starts these are. Least values that have no closed form were found with
SciPy's least_squares and polished by Newton's method; they agree with the digits published there.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import Tensor, ops
from minigrad.backend import namespace


class Problem:
    """A function f of n numbers, with what is known of it.

    name: what to write over a picture.
    reference: where it is from.
    n: the dimension. Some exist in others too: `at(10)` is the problem in ten dimensions.
    dimensions: the range of n in which it exists.
    residuals: the function r where f = Σ rᵢ², of shape (m,) at a point; None where f is not written as one.
    start: the standard start, an array of shape (n,), float64; a new one each time.
    minimum: the least value of f; None where it is not known in this dimension.
    minima: points where f has it, an array of shape (k, n); k = 0 where none is known.
    local_minima: other values at which a descent may end: at local minima, or towards infinity.
    domain: what to draw, an array of shape (n, 2): the lowest and the highest value of each coordinate.

    Beyond the first, axes of x stand for many points: for a grid of shape (n, 100, 100) the answer is (100, 100).

    A new one is made of the function, which gives f or, with `squares`, the residuals; `start`, `minimum`, `minima`,
    `local_minima` and `domain` are values or functions of n.

    >>> import minigrad as mg
    >>> from optim.study import problems
    >>> beale = problems.beale
    >>> x = mg.tensor(beale.start, requires_grad=True)
    >>> beale(x).item(), mg.grad(beale(x), x).tolist()
    (14.203125, [0.0, 27.75])
    >>> beale.minima.tolist(), beale(beale.minima[0]).item()
    ([[3.0, 0.5]], 0.0)
    >>> problems.rosenbrock.at(4).start.tolist()
    [-1.2, 1.0, -1.2, 1.0]
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        name: str,
        reference: str,
        *,
        start: Any,
        domain: Any,
        minimum: Any = 0.0,
        minima: Any = (),
        local_minima: Any = (),
        n: int | None = None,
        dimensions: range | None = None,
        squares: bool = True,
    ) -> None:
        self.name, self.reference = name, reference
        self.n = len(start) if n is None else n
        self.dimensions = range(self.n, self.n + 1) if dimensions is None else dimensions
        self.residuals = function if squares else None
        self._function, self.__doc__ = function, function.__doc__
        self._start, self._minimum, self._minima = start, minimum, minima
        self._local_minima, self._domain = local_minima, domain

    def at(self, n: int) -> Problem:
        """The same problem in n dimensions. Raises ValueError where it does not exist in that many."""
        if n not in self.dimensions:
            expected = ", ".join(map(str, self.dimensions[:3])) + (", ..." if len(self.dimensions) > 3 else "")
            raise ValueError(f"{self.name}: expected a dimension n of {expected}, got {n}")
        other = copy.copy(self)
        other.n = n
        return other

    def __call__(self, x: Any) -> Any:
        """f(x), of the type of x: a Tensor or an array of floating-point numbers, of shape (n,), or (n, ...) for many.

        Raises TypeError for anything else, ValueError for a point of another dimension.
        """
        if getattr(getattr(x, "dtype", None), "kind", "") != "f":
            raise TypeError(f"{self.name}: expected a Tensor or an array of floating-point numbers, got {x!r}")
        if not x.ndim or x.shape[0] != self.n:
            raise ValueError(f"{self.name}: expected a point of shape ({self.n},), got one of shape {x.shape}")
        if self.residuals is None:
            return self._function(x)
        r = self.residuals(x)
        return (r * r).sum(0)

    def _here(self, fact: Any) -> Any:
        return fact(self.n) if callable(fact) else fact

    @property
    def start(self) -> Any:
        return np.array(self._here(self._start), float)

    @property
    def minimum(self) -> float | None:
        minimum: float | None = self._here(self._minimum)
        return minimum

    @property
    def minima(self) -> Any:
        return np.array(self._here(self._minima), float).reshape(-1, self.n)

    @property
    def local_minima(self) -> tuple[float, ...]:
        return tuple(self._here(self._local_minima))

    @property
    def domain(self) -> Any:
        return np.broadcast_to(np.array(self._here(self._domain), float), (self.n, 2)).copy()

    def __repr__(self) -> str:
        return f"Problem({self.name!r}, n={self.n})"


PROBLEMS: dict[str, Problem] = {}
"""All problems, by the names that they have in this module."""

EVERY = sys.maxsize


def _problem(*names: str, **facts: Any) -> Callable[[Callable[[Any], Any]], Problem]:
    """Make a function a Problem of the list."""
    return lambda function: PROBLEMS.setdefault(function.__name__, Problem(function, *names, **facts))


def _like(x: Any, values: Any) -> Any:
    """Numbers as an array of the type and place of x, with as many axes: one number a row."""
    data = x.data if isinstance(x, Tensor) else x
    return namespace(data).asarray(values, dtype=data.dtype).reshape(-1, *[1] * (data.ndim - 1))


def _applied(matrix: Any, x: Any) -> Any:
    """The product of a matrix with each point."""
    data = x.data if isinstance(x, Tensor) else x
    return ops.einsum("ij,j...->i...", namespace(data).asarray(matrix, dtype=data.dtype), x)


def _between_zeros(x: Any) -> Any:
    """x with a zero before it and after it."""
    return ops.pad(x, [(1, 1)] + [(0, 0)] * (x.ndim - 1))


def _joined(*parts: Any) -> Any:
    """Residuals one after another: a part is one number, or a vector of them."""
    most = max(part.ndim for part in parts)
    return ops.concatenate([part if part.ndim == most else part[None] for part in parts])


# --- pictures


@_problem(
    "Himmelblau",
    "Himmelblau, Applied Nonlinear Programming (1972)",
    start=(0, 0),
    domain=(-5, 5),
    minima=[
        (3, 2),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    ],
)
def himmelblau(x):
    """(x₁² + x₂ - 11)² + (x₁ + x₂² - 7)²: four minima of the same value."""
    x1, x2 = x
    return ops.stack([x1**2 + x2 - 11, x1 + x2**2 - 7])


@_problem(
    "Booth",
    "Jamil and Yang, A Literature Survey of Benchmark Functions (2013), 17",
    start=(-5, 5),
    domain=(-10, 10),
    minima=[(1, 3)],
)
def booth(x):
    """(x₁ + 2x₂ - 7)² + (2x₁ + x₂ - 5)²: a quadratic function."""
    x1, x2 = x
    return ops.stack([x1 + 2 * x2 - 7, 2 * x1 + x2 - 5])


@_problem(
    "Rastrigin",
    "Rastrigin, Systems of Extremal Control (1974)",
    n=2,
    dimensions=range(1, EVERY),
    start=lambda n: [3.3] * n,
    domain=(-5.12, 5.12),
    minima=lambda n: np.zeros(n),
    local_minima=lambda n: [8.954601241487012 * n],
    squares=False,
)
def rastrigin(x):
    """Σ xᵢ² - 10 cos 2πxᵢ + 10: a local minimum near every point of whole numbers."""
    return (x**2 - 10 * ops.cos(2 * math.pi * x) + 10).sum(0)


@_problem(
    "Ackley",
    "Ackley, A Connectionist Machine for Genetic Hillclimbing (1987)",
    n=2,
    dimensions=range(1, EVERY),
    start=lambda n: [2.7] * n,
    domain=(-5, 5),
    minima=lambda n: np.zeros(n),
    local_minima=[9.001093478292],
    squares=False,
)
def ackley(x):
    """20 + e - 20 exp(-0.2 √(Σxᵢ²/n)) - exp(Σ cos(2πxᵢ)/n): a funnel with ripples; the minimum is a kink."""
    distance = ops.norm(x, axis=0) / math.sqrt(x.shape[0])
    return 20 + math.e - 20 * ops.exp(-0.2 * distance) - ops.exp(ops.cos(2 * math.pi * x).mean(0))


@_problem(
    "Saddle",
    "Nesterov, Introductory Lectures on Convex Optimization (2004), example 1.2.2",
    start=(1, 0.001),
    domain=(-1.5, 1.5),
    minimum=-0.25,
    minima=[(0, 1), (0, -1)],
    squares=False,
)
def saddle(x):
    """½x₁² + ¼x₂⁴ - ½x₂²: 0 is stationary and no minimum, and the start is almost on the line that leads there."""
    x1, x2 = x
    return x1**2 / 2 + x2**4 / 4 - x2**2 / 2


@_problem(
    "Ravine",
    "Boyd and Vandenberghe, Convex Optimization (2004), section 9.3.2, with γ = 100",
    start=(10, 1),
    domain=[(-12, 12), (-4, 4)],
    minima=[(0, 0)],
)
def ravine(x):
    """½(x₁² + 100x₂²): a hundred times as curved across as along."""
    x1, x2 = x
    return ops.stack([x1, 10 * x2]) / math.sqrt(2)


# --- Moré, Garbow and Hillstrom: a few variables


@_problem(
    "Rosenbrock",
    "MGH 1; for n > 2 as in scipy.optimize.rosen",
    n=2,
    dimensions=range(2, EVERY),
    start=lambda n: np.resize([-1.2, 1], n),
    domain=(-2, 2),
    minima=lambda n: np.ones(n),
)
def rosenbrock(x):
    """Σ 100(xᵢ₊₁ - xᵢ²)² + (1 - xᵢ)²: a bent valley. From n = 4 on there is a local minimum near (-1, 1, ..., 1)."""
    return ops.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


@_problem(
    "Freudenstein and Roth",
    "MGH 2",
    start=(0.5, -2),
    domain=[(-5, 15), (-5, 6)],
    minima=[(5, 4)],
    local_minima=[48.984253679],
)
def freudenstein_roth(x):
    """(-13 + x₁ + ((5 - x₂)x₂ - 2)x₂)² + (-29 + x₁ + ((x₂ + 1)x₂ - 14)x₂)²; descents end at (11.41, -0.90)."""
    x1, x2 = x
    return ops.stack([-13 + x1 + ((5 - x2) * x2 - 2) * x2, -29 + x1 + ((x2 + 1) * x2 - 14) * x2])


@_problem(
    "Powell badly scaled",
    "MGH 3",
    start=(0, 1),
    domain=[(-1e-4, 1e-4), (-1, 12)],
    minima=[(1.0981593296998218e-5, 9.106146739866489)],
)
def powell_badly_scaled(x):
    """(10⁴x₁x₂ - 1)² + (exp(-x₁) + exp(-x₂) - 1.0001)²."""
    x1, x2 = x
    return ops.stack([1e4 * x1 * x2 - 1, ops.exp(-x1) + ops.exp(-x2) - 1.0001])


@_problem("Brown badly scaled", "MGH 4", start=(1, 1), domain=[(0, 2e6), (-1e-5, 1e-5)], minima=[(1e6, 2e-6)])
def brown_badly_scaled(x):
    """(x₁ - 10⁶)² + (x₂ - 2·10⁻⁶)² + (x₁x₂ - 2)²."""
    x1, x2 = x
    return ops.stack([x1 - 1e6, x2 - 2e-6, x1 * x2 - 2])


@_problem("Beale", "MGH 5", start=(1, 1), domain=(-4.5, 4.5), minima=[(3, 0.5)])
def beale(x):
    """Σ (yᵢ - x₁(1 - x₂ⁱ))², y = 1.5, 2.25, 2.625."""
    x1, x2 = x
    return ops.stack([1.5 - x1 * (1 - x2), 2.25 - x1 * (1 - x2**2), 2.625 - x1 * (1 - x2**3)])


@_problem(
    "Jennrich and Sampson",
    "MGH 6",
    start=(0.3, 0.4),
    domain=(-0.5, 0.5),
    minimum=124.362182355615,
    minima=[(0.2578252136704, 0.2578252136704)],
)
def jennrich_sampson(x):
    """Σ (2 + 2i - exp(ix₁) - exp(ix₂))², i = 1, ..., 10."""
    x1, x2 = x
    i = _like(x, range(1, 11))
    return 2 + 2 * i - ops.exp(i * x1) - ops.exp(i * x2)


@_problem("Helical valley", "MGH 7", start=(-1, 0, 0), domain=(-2, 2), minima=[(1, 0, 0)])
def helical_valley(x):
    """100(x₃ - 10θ)² + 100(√(x₁² + x₂²) - 1)² + x₃², where 2πθ is the angle of (x₁, x₂), from -π/2 to 3π/2."""
    x1, x2, x3 = x
    theta = ops.arctan(x2 / x1) / (2 * math.pi)
    theta = ops.where(x1 < 0, theta + 0.5, theta)
    return ops.stack([10 * (x3 - 10 * theta), 10 * (ops.sqrt(x1**2 + x2**2) - 1), x3])


BARD = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]


@_problem(
    "Bard",
    "MGH 8",
    start=(1, 1, 1),
    domain=(0.05, 3),
    minimum=0.008214877306579,
    minima=[(0.0824105597498, 1.13303609203, 2.34369517864)],
    local_minima=[17.428693],
)
def bard(x):
    """Σ (yᵢ - x₁ - uᵢ/(vᵢx₂ + wᵢx₃))², u = i, v = 16 - i, w = min(u, v), i = 1, ..., 15."""
    x1, x2, x3 = x
    u = _like(x, range(1, 16))
    v = 16 - u
    return _like(x, BARD) - (x1 + u / (v * x2 + ops.minimum(u, v) * x3))


GAUSSIAN = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989,
            0.3521, 0.2420, 0.1295, 0.0540, 0.0175, 0.0044, 0.0009]  # fmt: skip


@_problem(
    "Gaussian",
    "MGH 9",
    start=(0.4, 1, 0),
    domain=[(0, 1), (0, 2), (-1, 1)],
    minimum=1.12793276961922e-8,
    minima=[(0.3989561378388, 1.0000190844878, 0)],
)
def gaussian(x):
    """Σ (x₁ exp(-x₂(tᵢ - x₃)²/2) - yᵢ)², t = (8 - i)/2, i = 1, ..., 15."""
    x1, x2, x3 = x
    t = _like(x, np.arange(3.5, -4, -0.5))
    return x1 * ops.exp(-x2 * (t - x3) ** 2 / 2) - _like(x, GAUSSIAN)


MEYER = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]


@_problem(
    "Meyer",
    "MGH 10",
    start=(0.02, 4000, 250),
    domain=[(0, 0.03), (3000, 8000), (200, 500)],
    minimum=87.9458551707,
    minima=[(0.0056096364710285, 6181.346346286304, 345.2236346241342)],
)
def meyer(x):
    """Σ (x₁ exp(x₂/(tᵢ + x₃)) - yᵢ)², t = 45 + 5i, i = 1, ..., 16: a bent valley, with a condition of 10¹⁵."""
    x1, x2, x3 = x
    t = _like(x, np.arange(50, 130, 5))
    return x1 * ops.exp(x2 / (t + x3)) - _like(x, MEYER)


@_problem(
    "Gulf research and development",
    "MGH 11",
    start=(5, 2.5, 0.15),
    domain=[(0.1, 100), (0, 25.6), (0, 5)],
    minima=[(50, 25, 1.5)],
)
def gulf(x):
    """Σ (exp(-|yᵢ - x₂|^x₃/x₁) - tᵢ)², t = i/100, y = 25 + (-50 ln t)^⅔, i = 1, ..., 99.

    The paper has a misprint in the place of the minus between the bars.
    """
    x1, x2, x3 = x
    t = np.arange(1, 100) / 100
    y = _like(x, 25 + (-50 * np.log(t)) ** (2 / 3))
    return ops.exp(-(abs(y - x2) ** x3) / x1) - _like(x, t)


@_problem(
    "Box three-dimensional",
    "MGH 12",
    start=(0, 10, 20),
    domain=[(-1, 12), (-1, 12), (-2, 22)],
    minima=[(1, 10, 1), (10, 1, -1)],
)
def box(x):
    """Σ (exp(-tᵢx₁) - exp(-tᵢx₂) - x₃(exp(-tᵢ) - exp(-10tᵢ)))², t = i/10, i = 1, ..., 10.

    It is 0 also wherever x₁ = x₂ and x₃ = 0.
    """
    x1, x2, x3 = x
    t = np.arange(1, 11) / 10
    times = _like(x, t)
    return ops.exp(-times * x1) - ops.exp(-times * x2) - x3 * _like(x, np.exp(-t) - np.exp(-10 * t))


@_problem("Powell singular", "MGH 13", start=(3, -1, 0, 1), domain=(-4, 4), minima=[(0, 0, 0, 0)])
def powell_singular(x):
    """(x₁ + 10x₂)² + 5(x₃ - x₄)² + (x₂ - 2x₃)⁴ + 10(x₁ - x₄)⁴: the Hessian at the minimum has rank 2."""
    x1, x2, x3, x4 = x
    return ops.stack([x1 + 10 * x2, math.sqrt(5) * (x3 - x4), (x2 - 2 * x3) ** 2, math.sqrt(10) * (x1 - x4) ** 2])


@_problem("Wood", "MGH 14", start=(-3, -1, -3, -1), domain=(-4, 4), minima=[(1, 1, 1, 1)])
def wood(x):
    """100(x₂ - x₁²)² + (1 - x₁)² + 90(x₄ - x₃²)² + (1 - x₃)² + 10(x₂ + x₄ - 2)² + (x₂ - x₄)²/10."""
    x1, x2, x3, x4 = x
    first = [10 * (x2 - x1**2), 1 - x1, math.sqrt(90) * (x4 - x3**2), 1 - x3]
    return ops.stack([*first, math.sqrt(10) * (x2 + x4 - 2), (x2 - x4) / math.sqrt(10)])


KOWALIK_OSBORNE = [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
KOWALIK_OSBORNE_U = [4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]


@_problem(
    "Kowalik and Osborne",
    "MGH 15",
    start=(0.25, 0.39, 0.415, 0.39),
    domain=(0, 1),
    minimum=3.075056038492378e-4,
    minima=[(0.192806934579, 0.1912823287344, 0.1230565069263, 0.1360623306838)],
    local_minima=[0.00102734],
)
def kowalik_osborne(x):
    """Σ (yᵢ - x₁(uᵢ² + uᵢx₂)/(uᵢ² + uᵢx₃ + x₄))², i = 1, ..., 11."""
    x1, x2, x3, x4 = x
    u = _like(x, KOWALIK_OSBORNE_U)
    return _like(x, KOWALIK_OSBORNE) - x1 * (u**2 + u * x2) / (u**2 + u * x3 + x4)


@_problem(
    "Brown and Dennis",
    "MGH 16",
    start=(25, 5, -5, -1),
    domain=[(-30, 30), (-10, 20), (-10, 10), (-10, 10)],
    minimum=85822.2016263563,
    minima=[(-11.59443990476, 13.20363005121, -0.4034394881769, 0.2367787744557)],
)
def brown_dennis(x):
    """Σ ((x₁ + tᵢx₂ - exp tᵢ)² + (x₃ + x₄ sin tᵢ - cos tᵢ)²)², t = i/5, i = 1, ..., 20."""
    x1, x2, x3, x4 = x
    t = np.arange(1, 21) / 5
    along = x1 + _like(x, t) * x2 - _like(x, np.exp(t))
    round_ = x3 + _like(x, np.sin(t)) * x4 - _like(x, np.cos(t))
    return along**2 + round_**2


OSBORNE1 = [
    0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603,
    0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411,
    0.406,
]  # fmt: skip


@_problem(
    "Osborne 1",
    "MGH 17",
    start=(0.5, 1.5, -1, 0.01, 0.02),
    domain=[(0, 1), (0, 3), (-2, 0), (0, 0.05), (0, 0.05)],
    minimum=5.46489469748297e-5,
    minima=[(0.3754100521070, 1.9358469127123, -1.4646871366134, 0.01286753464006, 0.02212269966167)],
)
def osborne1(x):
    """Σ (yᵢ - x₁ - x₂ exp(-tᵢx₄) - x₃ exp(-tᵢx₅))², t = 10(i - 1), i = 1, ..., 33."""
    x1, x2, x3, x4, x5 = x
    t = _like(x, np.arange(0, 330, 10))
    return _like(x, OSBORNE1) - (x1 + x2 * ops.exp(-t * x4) + x3 * ops.exp(-t * x5))


@_problem(
    "Biggs EXP6",
    "MGH 18",
    start=(1, 2, 1, 1, 1, 1),
    domain=(0, 12),
    minima=[(1, 10, 1, 5, 4, 3)],
    local_minima=[0.0056556499255],
)
def biggs(x):
    """Σ (x₃ exp(-tᵢx₁) - x₄ exp(-tᵢx₂) + x₆ exp(-tᵢx₅) - yᵢ)², t = i/10, i = 1, ..., 13.

    y = exp(-t) - 5 exp(-10t) + 3 exp(-4t).
    """
    x1, x2, x3, x4, x5, x6 = x
    t = np.arange(1, 14) / 10
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    times = _like(x, t)
    return x3 * ops.exp(-times * x1) - x4 * ops.exp(-times * x2) + x6 * ops.exp(-times * x5) - _like(x, y)


OSBORNE2 = [
    1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606,
    0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423,
    0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668,
    0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098,
    0.054,
]  # fmt: skip


@_problem(
    "Osborne 2",
    "MGH 19",
    start=(1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5),
    domain=(0, 8),
    minimum=0.0401377362935477,
    minima=[
        (
            1.309977154627,
            0.431553794603,
            0.633661698961,
            0.599430534786,
            0.754183226328,
            0.904288579860,
            1.365811835237,
            4.823698817227,
            2.398684866132,
            4.568874597668,
            5.675341470581,
        ),
    ],
)
def osborne2(x):
    """Σ (yᵢ - x₁e^(-tᵢx₅) - x₂e^(-(tᵢ - x₉)²x₆) - x₃e^(-(tᵢ - x₁₀)²x₇) - x₄e^(-(tᵢ - x₁₁)²x₈))², t = (i - 1)/10.

    i = 1, ..., 65: a decay and three peaks.
    """
    x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11 = x
    t = _like(x, np.arange(65) / 10)
    peaks = [(x2, x9, x6), (x3, x10, x7), (x4, x11, x8)]
    return _like(x, OSBORNE2) - sum((a * ops.exp(-((t - c) ** 2) * b) for a, c, b in peaks), x1 * ops.exp(-t * x5))


# --- Moré, Garbow and Hillstrom: any number of variables


WATSON_6 = [
    -0.0157250864014585, 1.0124348693691099, -0.2329916259567369, 1.2604300877996053, -1.513728922722275,
    0.9929964324311322,
]  # fmt: skip


@_problem(
    "Watson",
    "MGH 20",
    n=6,
    dimensions=range(2, 32),
    start=lambda n: np.zeros(n),
    domain=(-2, 2),
    minimum=lambda n: {6: 0.0022876700535524, 9: 1.3997601381e-6, 12: 4.7223811e-10}.get(n),
    minima=lambda n: WATSON_6 if n == 6 else (),
)
def watson(x):
    """Σ (p′(tᵢ) - p(tᵢ)² - 1)² + x₁² + (x₂ - x₁² - 1)², p(t) = Σ xⱼtʲ⁻¹, t = i/29, i = 1, ..., 29."""
    n = x.shape[0]
    powers = (np.arange(1, 30) / 29)[:, None] ** np.arange(n)
    slopes = np.arange(1, n) * powers[:, :-1]
    misfits = _applied(slopes, x[1:]) - _applied(powers, x) ** 2 - 1
    return _joined(misfits, x[0], x[1] - x[0] ** 2 - 1)


@_problem(
    "Extended Rosenbrock",
    "MGH 21",
    n=10,
    dimensions=range(2, EVERY, 2),
    start=lambda n: np.resize([-1.2, 1], n),
    domain=(-2, 2),
    minima=lambda n: np.ones(n),
)
def extended_rosenbrock(x):
    """Σ 100(x₂ᵢ - x₂ᵢ₋₁²)² + (1 - x₂ᵢ₋₁)²: n/2 problems of two variables each."""
    odd, even = x[0::2], x[1::2]
    return ops.concatenate([10 * (even - odd**2), 1 - odd])


@_problem(
    "Extended Powell singular",
    "MGH 22",
    n=12,
    dimensions=range(4, EVERY, 4),
    start=lambda n: np.resize([3, -1, 0, 1], n),
    domain=(-4, 4),
    minima=lambda n: np.zeros(n),
)
def extended_powell_singular(x):
    """Powell singular, n/4 times, of four variables each."""
    x1, x2, x3, x4 = (x[i::4] for i in range(4))
    return ops.concatenate([x1 + 10 * x2, math.sqrt(5) * (x3 - x4), (x2 - 2 * x3) ** 2, math.sqrt(10) * (x1 - x4) ** 2])


def _least_penalty(n: int) -> Any:
    """Penalty I is least where all coordinates are the same root of a(x - 1) + 2x(nx² - ¼) = 0."""
    (root,) = (z.real for z in np.roots([2 * n, 0, 1e-5 - 0.5, -1e-5]) if z.real > 0)
    return root


@_problem(
    "Penalty I",
    "MGH 23",
    n=10,
    dimensions=range(1, EVERY),
    start=lambda n: np.arange(1, n + 1),
    domain=(-1, 1),
    minimum=lambda n: 1e-5 * n * (_least_penalty(n) - 1) ** 2 + (n * _least_penalty(n) ** 2 - 0.25) ** 2,
    minima=lambda n: [_least_penalty(n)] * n,
)
def penalty1(x):
    """10⁻⁵ Σ (xᵢ - 1)² + (Σ xᵢ² - ¼)²."""
    return _joined(math.sqrt(1e-5) * (x - 1), (x**2).sum(0) - 0.25)


@_problem(
    "Penalty II",
    "MGH 24",
    n=10,
    dimensions=range(2, EVERY),
    start=lambda n: np.full(n, 0.5),
    domain=(-1, 1),
    minimum=lambda n: {4: 9.37629300735544e-6, 10: 2.93660537456746e-4}.get(n),
)
def penalty2(x):
    """(x₁ - ⅕)² + 10⁻⁵ Σ ((eᵢ + eᵢ₋₁ - yᵢ)² + (eᵢ - exp(-⅒))²) + (Σ (n - j + 1)xⱼ² - 1)², eᵢ = exp(xᵢ/10), i ≥ 2.

    yᵢ = exp(i/10) + exp((i - 1)/10).
    """
    n = x.shape[0]
    i = np.arange(2, n + 1)
    y = _like(x, np.exp(i / 10) + np.exp((i - 1) / 10))
    e = ops.exp(x / 10)
    pairs, singles = e[1:] + e[:-1] - y, e[1:] - math.exp(-0.1)
    weighted = (_like(x, range(n, 0, -1)) * x**2).sum(0) - 1
    return _joined(x[0] - 0.2, math.sqrt(1e-5) * pairs, math.sqrt(1e-5) * singles, weighted)


@_problem(
    "Variably dimensioned",
    "MGH 25",
    n=10,
    dimensions=range(1, EVERY),
    start=lambda n: 1 - np.arange(1, n + 1) / n,
    domain=(-1, 3),
    minima=lambda n: np.ones(n),
)
def variably_dimensioned(x):
    """Σ (xᵢ - 1)² + s² + s⁴, s = Σ j(xⱼ - 1)."""
    s = (_like(x, range(1, x.shape[0] + 1)) * (x - 1)).sum(0)
    return _joined(x - 1, s, s**2)


@_problem(
    "Trigonometric",
    "MGH 26",
    n=10,
    dimensions=range(1, EVERY),
    start=lambda n: np.full(n, 1 / n),
    domain=(-1, 1),
    minima=lambda n: np.zeros(n),
    local_minima=lambda n: [2.795056121878e-5] if n == 10 else (),
)
def trigonometric(x):
    """Σ (n - Σ cos xⱼ + i(1 - cos xᵢ) - sin xᵢ)²."""
    n = x.shape[0]
    return n - ops.cos(x).sum(0) + _like(x, range(1, n + 1)) * (1 - ops.cos(x)) - ops.sin(x)


@_problem(
    "Brown almost-linear",
    "MGH 27",
    n=10,
    dimensions=range(2, EVERY),
    start=lambda n: np.full(n, 0.5),
    domain=(-1, 2),
    minima=lambda n: np.ones(n),
    local_minima=[1],
)
def brown_almost_linear(x):
    """Σ (xᵢ + Σ xⱼ - n - 1)² for i < n, + (Π xⱼ - 1)²."""
    return _joined(x[:-1] + x.sum(0) - (x.shape[0] + 1), x.prod(0) - 1)


def _grid(n: int) -> Any:
    """n points between 0 and 1, at equal distances from each other and the ends."""
    return np.arange(1, n + 1) / (n + 1)


@_problem(
    "Discrete boundary value",
    "MGH 28",
    n=10,
    dimensions=range(1, EVERY),
    start=lambda n: _grid(n) * (_grid(n) - 1),
    domain=(-1, 1),
)
def discrete_boundary_value(x):
    """Σ (2xᵢ - xᵢ₋₁ - xᵢ₊₁ + h²(xᵢ + tᵢ + 1)³/2)², h = 1/(n + 1), t = ih, x₀ = xₙ₊₁ = 0."""
    n = x.shape[0]
    padded = _between_zeros(x)
    return 2 * x - padded[:-2] - padded[2:] + (x + _like(x, _grid(n)) + 1) ** 3 / (2 * (n + 1) ** 2)


@_problem(
    "Discrete integral equation",
    "MGH 29",
    n=10,
    dimensions=range(1, EVERY),
    start=lambda n: _grid(n) * (_grid(n) - 1),
    domain=(-1, 1),
)
def discrete_integral_equation(x):
    """Σ (xᵢ + h/2 Σ K(tᵢ, tⱼ)(xⱼ + tⱼ + 1)³)², K(t, s) = (1 - t)s for s ≤ t, else t(1 - s); h, t as in MGH 28."""
    n = x.shape[0]
    t = _grid(n)
    kernel = np.minimum.outer(t, t) * (1 - np.maximum.outer(t, t))
    return x + _applied(kernel / (2 * (n + 1)), (x + _like(x, t) + 1) ** 3)


@_problem(
    "Broyden tridiagonal",
    "MGH 30",
    n=10,
    dimensions=range(1, EVERY),
    start=lambda n: -np.ones(n),
    domain=(-2, 2),
)
def broyden_tridiagonal(x):
    """Σ ((3 - 2xᵢ)xᵢ - xᵢ₋₁ - 2xᵢ₊₁ + 1)², x₀ = xₙ₊₁ = 0."""
    padded = _between_zeros(x)
    return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1


@_problem(
    "Broyden banded",
    "MGH 31",
    n=10,
    dimensions=range(1, EVERY),
    start=lambda n: -np.ones(n),
    domain=(-2, 2),
)
def broyden_banded(x):
    """Σ (xᵢ(2 + 5xᵢ²) + 1 - Σ xⱼ(1 + xⱼ))², the inner sum over j ≠ i, i - 5 ≤ j ≤ i + 1."""
    n = x.shape[0]
    band = np.tri(n, k=1) - np.tri(n, k=-6) - np.eye(n)
    return x * (2 + 5 * x**2) + 1 - _applied(band, x * (1 + x))


@_problem(
    "Linear, full rank",
    "MGH 32, with m = 2n",
    n=10,
    dimensions=range(1, EVERY),
    start=lambda n: np.ones(n),
    domain=(-3, 3),
    minimum=lambda n: n,
    minima=lambda n: -np.ones(n),
)
def linear_full_rank(x):
    """Σ (xᵢ - s - 1)² for i ≤ n, + n(s + 1)², s = Σ xⱼ/n."""
    s = x.mean(0)
    return ops.concatenate([x - s - 1, 0 * x - s - 1])


@_problem(
    "Linear, rank 1",
    "MGH 33, with m = 2n",
    n=10,
    dimensions=range(1, EVERY),
    start=lambda n: np.ones(n),
    domain=(-2, 2),
    minimum=lambda n: n * (2 * n - 1) / (4 * n + 1),
    minima=lambda n: [3 / (4 * n + 1)] + [0] * (n - 1),
)
def linear_rank1(x):
    """Σ (is - 1)², s = Σ jxⱼ, i = 1, ..., 2n: least on the plane s = 3/(4n + 1)."""
    n = x.shape[0]
    s = (_like(x, range(1, n + 1)) * x).sum(0)
    return _like(x, range(1, 2 * n + 1)) * s - 1


@_problem(
    "Linear, rank 1 with zero columns and rows",
    "MGH 34, with m = 2n",
    n=10,
    dimensions=range(3, EVERY),
    start=lambda n: np.ones(n),
    domain=(-2, 2),
    minimum=lambda n: (2 * n**2 + 3 * n - 3) / (4 * n - 3),
    minima=lambda n: [0, 3 / (2 * (4 * n - 3))] + [0] * (n - 2),
)
def linear_rank1_zeros(x):
    """2 + Σ ((i - 1)s - 1)², s = Σ jxⱼ for 1 < j < n, i = 2, ..., 2n - 1: least on the plane s = 3/(4n - 3)."""
    n = x.shape[0]
    s = (_like(x, [0, *range(2, n), 0]) * x).sum(0)
    return _like(x, [0, *range(1, 2 * n - 1), 0]) * s - 1


@_problem(
    "Chebyquad",
    "MGH 35, with m = n",
    n=8,
    dimensions=range(1, EVERY),
    start=_grid,
    domain=(0, 1),
    minimum=lambda n: 0.0 if n < 8 or n == 9 else {8: 0.003516873725678, 10: 0.004772713696375}.get(n),
    local_minima=lambda n: [0.006503954800882] if n == 10 else (),
)
def chebyquad(x):
    """Σ (Σ Tᵢ(xⱼ)/n - ∫Tᵢ)², where Tᵢ is Chebyshev's polynomial shifted to [0, 1], over which it is integrated.

    For n = 10 the value in the paper is that of a local minimum, in which descents from the start end.
    """
    n = x.shape[0]
    y = 2 * x - 1
    before, now = 0 * x + 1, y
    means = []
    for _ in range(n):
        means.append(now.mean(0))
        before, now = now, 2 * y * now - before
    i = np.arange(1, n + 1)
    integrals = np.where(i % 2, 0.0, -1 / np.maximum(i**2 - 1, 1))
    return ops.stack(means) - _like(x, integrals)
