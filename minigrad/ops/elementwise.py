"""Elementwise operations, NumPy's names and broadcasting: the value, and above it the derivative.

Each rule is one line of a table of derivatives: `g` is the gradient of the answer `ans`. Where a function has a
kink, the subgradient taken is the one noted beside it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.ops import loops
from minigrad.tape import Variable, differentiable, explaining, raw

__all__ = [
    "absolute", "add", "arccos", "arcsin", "arctan", "astype", "bitwise_and", "bitwise_or", "bitwise_xor", "clip",
    "cos", "cosh", "divide", "equal", "erf", "exp", "expm1", "floor_divide", "greater", "greater_equal", "invert",
    "isfinite", "isinf", "isnan", "less", "less_equal", "log", "log1p", "log2", "logical_and", "logical_not",
    "logical_or", "maximum", "minimum", "multiply", "negative", "not_equal", "ones_like", "positive", "power",
    "reciprocal", "remainder", "sign", "sin", "sinh", "sqrt", "square", "subtract", "tan", "tanh", "to_device",
    "where", "zeros_like",
]  # fmt: skip


@differentiable(lambda g: g, lambda g: g, broadcasts=True)
def add(x1, x2):
    """x1 + x2."""
    return np.add(x1, x2)


@differentiable(lambda g: g, lambda g: -g, broadcasts=True)
def subtract(x1, x2):
    """x1 - x2."""
    return np.subtract(x1, x2)


@differentiable(lambda g, x2: g * x2, lambda g, x1: g * x1, broadcasts=True)
def multiply(x1, x2):
    """x1 · x2."""
    return np.multiply(x1, x2)


@differentiable(lambda g, x2: g / x2, lambda g, ans, x2: -g * ans / x2, broadcasts=True)
def divide(x1, x2):
    """x1 / x2."""
    return np.true_divide(x1, x2)


@differentiable(lambda g: np.zeros_like(g), lambda g: np.zeros_like(g), broadcasts=True)
def floor_divide(x1, x2):
    """The largest integer not above x1 / x2; derivative 0."""
    return np.floor_divide(x1, x2)


def _quotient(x1, x2, rest):
    """floor(x1 / x2), where `rest` = x1 % x2 is known: without the division with rest that floor_divide does again."""
    if rest.size < loops.MANY or rest.__class__ is not np.ndarray or rest.dtype.kind != "f":
        return np.floor_divide(x1, x2)
    with np.errstate(over="ignore", invalid="ignore"):
        whole = np.subtract(x1, rest)
        whole /= x2
    np.rint(whole, out=whole)
    return np.floor_divide(x1, x2, out=whole, where=~np.isfinite(whole))


@differentiable(lambda g: g, lambda g, ans, x1, x2: -g * _quotient(x1, x2, ans), broadcasts=True)
def remainder(x1, x2):
    """x1 - x2 · floor(x1 / x2), of the sign of x2. Where it jumps, the derivative is that of the branch taken."""
    return np.remainder(x1, x2)


def _power_of_base(g, x1, x2):
    if isinstance(x2, NUMBER):
        return g * (x2 * x1 ** (x2 - 1)) if x2 else np.zeros_like(g)
    if x2.__class__ is np.ndarray and np.count_nonzero(x2) == x2.size:
        return g * x2 * x1 ** (x2 - 1)
    return np.where(x2 == 0, 0.0, g * x2 * x1 ** np.where(x2 == 0, 1.0, x2 - 1))


def _power_of_exponent(g, ans, x1):
    if isinstance(x1, NUMBER):  # whose logarithm must not widen g
        return g * ans * (math.log(x1) if x1 > 0 else 0.0)
    return g * ans * np.log(np.where(x1 > 0, x1, 1.0))


@differentiable(_power_of_base, _power_of_exponent, broadcasts=True)
def power(x1, x2):
    """x1 to the power x2. The derivative by x2 is taken as 0 for bases that are not positive."""
    return x1**x2


@differentiable(lambda g: g)
def positive(x):
    """A copy of x."""
    return np.positive(x)


@differentiable(lambda g: -g)
def negative(x):
    """-x."""
    return np.negative(x)


@differentiable(lambda g, x: g * np.sign(x))
def absolute(x):
    """|x|; subgradient 0 at 0."""
    return np.absolute(x)


@differentiable(lambda g: np.zeros_like(g))
def sign(x):
    """-1, 0 or 1, as x is negative, zero or positive; derivative 0."""
    return np.sign(x)


@differentiable(lambda g, ans: g * ans)
def exp(x):
    """e to the power x."""
    return np.exp(x)


@differentiable(lambda g, ans: g * (ans + 1))
def expm1(x):
    """e to the power x, less 1, exact near 0."""
    return np.expm1(x)


@differentiable(lambda g, x: g / x)
def log(x):
    """Natural logarithm."""
    return np.log(x)


@differentiable(lambda g, x: g / (1 + x))
def log1p(x):
    """Natural logarithm of 1 + x, exact near 0."""
    return np.log1p(x)


@differentiable(lambda g, x: g / (x * math.log(2)))
def log2(x):
    """Logarithm to base 2."""
    return np.log2(x)


@differentiable(lambda g, ans: g / (2 * ans))
def sqrt(x):
    """Square root; its derivative at 0 is infinite."""
    return np.sqrt(x)


@differentiable(lambda g, x: g * (2 * x))
def square(x):
    """x²."""
    return np.square(x)


@differentiable(lambda g, ans: -g * ans * ans)
def reciprocal(x):
    """1 / x."""
    return np.reciprocal(x)


@differentiable(lambda g, x: g * np.cos(x))
def sin(x):
    """Sine of x radians."""
    return np.sin(x)


@differentiable(lambda g, x: -g * np.sin(x))
def cos(x):
    """Cosine of x radians."""
    return np.cos(x)


@differentiable(lambda g, ans: g * (1 + ans * ans))
def tan(x):
    """Tangent of x radians."""
    return np.tan(x)


@differentiable(lambda g, x: g / np.sqrt(1 - x * x))
def arcsin(x):
    """Inverse sine, in radians."""
    return np.arcsin(x)


@differentiable(lambda g, x: -g / np.sqrt(1 - x * x))
def arccos(x):
    """Inverse cosine, in radians."""
    return np.arccos(x)


@differentiable(lambda g, x: g / (1 + x * x))
def arctan(x):
    """Inverse tangent, in radians."""
    return np.arctan(x)


@differentiable(lambda g, x: g * np.cosh(x))
def sinh(x):
    """Hyperbolic sine."""
    return np.sinh(x)


@differentiable(lambda g, x: g * np.sinh(x))
def cosh(x):
    """Hyperbolic cosine."""
    return np.cosh(x)


@differentiable(lambda g, ans: g * (1 - ans * ans))
def tanh(x):
    """Hyperbolic tangent."""
    return np.tanh(x)


NUMBER = (int, float)  # a tuple: `int | float` would be made anew at each use
BOOL = np.dtype(bool)
BITS: dict[str, Any] = {"e": np.dtype(np.int16), "f": np.dtype(np.int32), "d": np.dtype(np.int64)}
"""The integers of the same size as floating-point numbers."""


def select(condition, x, y):
    """np.where(condition, x, y), the same bits: in large arrays no branch, which a processor can't foresee."""
    if condition.__class__ is not np.ndarray or condition.size < loops.MANY:
        return np.where(condition, x, y)
    whole = x if x.__class__ is np.ndarray else y
    choices = [v for v in (x, y) if not isinstance(v, NUMBER)]
    alike = all(v.__class__ is np.ndarray and v.dtype is whole.dtype for v in choices)
    if not alike or not choices or condition.dtype != bool or whole.dtype.char not in BITS:
        return np.where(condition, x, y)
    if np.broadcast_shapes(condition.shape, *[v.shape for v in choices]) != condition.shape:
        return np.where(condition, x, y)
    integer = BITS[whole.dtype.char]
    x, y = (np.asarray(v, whole.dtype).view(integer) for v in (x, y))
    if not y.ndim and not y:
        return (x * condition).view(whole.dtype)
    chosen = np.negative(condition.view(np.int8), dtype=integer)  # all bits where the condition holds
    if not x.ndim and not x:
        np.invert(chosen, out=chosen)
        chosen &= y
    else:
        chosen &= x ^ y
        chosen ^= y
    return chosen.view(whole.dtype)


def only_where(condition, g):
    """np.where(condition, g, 0.0) for a condition that g's shape has room for; in two thirds of its time, or less."""
    alike = g.__class__ is condition.__class__ is np.ndarray and condition.dtype is BOOL
    if not alike or g.dtype.char not in BITS:
        return select(condition, g, 0.0)
    if g.size >= 256:
        return (g.view(BITS[g.dtype.char]) * condition).view(g.dtype)  # as numbers, ∞ · 0 would be NaN
    out = np.zeros(g.shape, g.dtype)
    np.copyto(out, g, where=condition)
    return out


def _where_larger(g, larger, smaller):
    run = None if isinstance(g, Variable) else loops.compiled(loops.where_larger, g, larger, smaller)
    if run is None or larger.shape != smaller.shape:
        ties = (larger == smaller).astype(g.dtype)
        return select(larger < smaller, 0.0, g / (1 + ties))
    out = np.empty_like(g)
    run(g.ravel(), larger.ravel(), smaller.ravel(), out.ravel())
    return out


@differentiable(
    lambda g, x1, x2: _where_larger(g, x1, x2),
    lambda g, x1, x2: _where_larger(g, x2, x1),
    broadcasts=True,
)
def maximum(x1, x2):
    """The larger of x1 and x2; NaN where either is. Ties share the gradient evenly."""
    return np.maximum(x1, x2)


@differentiable(
    lambda g, x1, x2: _where_larger(g, x2, x1),
    lambda g, x1, x2: _where_larger(g, x1, x2),
    broadcasts=True,
)
def minimum(x1, x2):
    """The smaller of x1 and x2; NaN where either is. Ties share the gradient evenly."""
    return np.minimum(x1, x2)


@differentiable(
    None,
    lambda g, condition: only_where(condition, g),
    lambda g, condition: select(condition, 0.0, g),
    broadcasts=True,
)
def where(condition, x, y):
    """x where `condition` holds, y elsewhere."""
    return select(condition, x, y)


def _where_inside(g, a, a_min, a_max):
    if g.size >= loops.MANY and g.__class__ is np.ndarray:
        low, high = -math.inf if a_min is None else a_min, math.inf if a_max is None else a_max
        numbers = isinstance(low, NUMBER) and isinstance(high, NUMBER)
        run = loops.compiled(loops.where_inside, g, a) if numbers else None
        if run is not None:
            out = np.empty_like(g)
            run(g.ravel(), a.ravel(), a.dtype.type(low), a.dtype.type(high), out.ravel())
            return out
    return only_where(_inside(a, a_min, a_max), g)


def _inside(a, a_min, a_max):
    if a_min is None or a_max is None:
        return a <= a_max if a_min is None else a >= a_min
    return (a >= a_min) & (a <= a_max)


def _below(a, a_min, a_max):
    return a < a_min if a_max is None else (a < a_min) & (a_min <= a_max)


def _above(a, a_min, a_max):
    return a > a_max if a_min is None else (a > a_max) | (a_min > a_max)


@differentiable(
    lambda g, a, a_min, a_max: _where_inside(g, a, a_min, a_max),
    lambda g, a, a_min, a_max: only_where(_below(a, a_min, a_max), g),
    lambda g, a, a_min, a_max: only_where(_above(a, a_min, a_max), g),
    broadcasts=True,
)
def clip(a, a_min=None, a_max=None):
    """`a` limited to [a_min, a_max]: numbers, arrays or None. At a bound the whole gradient goes to `a`.

    Where a_min > a_max the answer is a_max.
    """
    if a_min is None and a_max is None:
        raise ValueError("expected a_min, a_max or both")
    return np.clip(a, a_min, a_max)


# W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23 (1969):
# numerator and denominator, highest power first; erf(x) / x in x² for |x| < 0.5, erfc(x) · exp(x²) in x above.
_ERF = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_ERFC = (
    (
        2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1,
        2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
        3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
    ),
)  # fmt: skip


def _polynomial(coefficients, x):
    value = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        value *= x
        value += c
    return value


def _rational(coefficients, x):
    numerator, denominator = coefficients
    return _polynomial(numerator, x) / _polynomial(denominator, x)


def raw_erf(x):
    """erf on a raw array, to a few units in the last place of its type."""
    run = loops.compiled(loops.erf, x) if x.__class__ is np.ndarray else None
    if run is not None:
        out = np.empty_like(x)
        run(x.ravel(), out.ravel())
        return out
    distance = np.minimum(np.abs(x), 6.0)  # erf(6) is 1 in float64
    if distance.dtype == np.float16:  # too narrow for the coefficients
        return raw_erf(x.astype(np.float32)).astype(np.float16)
    near = distance < 0.5
    small = np.where(near, x, 0.0)
    far = 1 - np.exp(-distance * distance) * _rational(_ERFC, distance)
    return np.where(near, small * _rational(_ERF, small * small), np.copysign(far, x))


@differentiable(lambda g, x: g * (2 / math.sqrt(math.pi) * np.exp(-x * x)))
def erf(x):
    """Error function, 2/√π ∫₀ˣ exp(-t²) dt."""
    return raw_erf(x)


@differentiable(lambda g: g, None)  # the tape brings a gradient to its input's type
def _astype(a, dtype):
    return a.astype(dtype)


@explaining
def astype(a, dtype) -> Any:
    """`a` in another type; a constant where that has no fractions."""
    answer = _astype(a, dtype)
    if isinstance(answer, Variable) and answer.data.dtype.kind not in "fc":
        return Variable.Answer(answer.data)
    return answer


@explaining
def to_device(a, device) -> Any:
    """`a` on another device."""
    return _to_device(a, device, backend.device_of(raw(a)))


@differentiable(lambda g, device, source: _to_device(g, source, device))
def _to_device(a, device, source):
    return backend.to_device(a, device)


@differentiable()
def equal(x1, x2):
    """Whether x1 = x2, elementwise."""
    return np.equal(x1, x2)


@differentiable()
def not_equal(x1, x2):
    """Whether x1 ≠ x2, elementwise."""
    return np.not_equal(x1, x2)


@differentiable()
def less(x1, x2):
    """Whether x1 < x2, elementwise."""
    return np.less(x1, x2)


@differentiable()
def less_equal(x1, x2):
    """Whether x1 ≤ x2, elementwise."""
    return np.less_equal(x1, x2)


@differentiable()
def greater(x1, x2):
    """Whether x1 > x2, elementwise."""
    return np.greater(x1, x2)


@differentiable()
def greater_equal(x1, x2):
    """Whether x1 ≥ x2, elementwise."""
    return np.greater_equal(x1, x2)


@differentiable()
def logical_and(x1, x2):
    """Whether both hold, elementwise."""
    return np.logical_and(x1, x2)


@differentiable()
def logical_or(x1, x2):
    """Whether one of both holds, elementwise."""
    return np.logical_or(x1, x2)


@differentiable()
def logical_not(x):
    """Whether x does not hold, elementwise."""
    return np.logical_not(x)


@differentiable()
def bitwise_and(x1, x2):
    """x1 & x2 of integers or truth values, elementwise."""
    return np.bitwise_and(x1, x2)


@differentiable()
def bitwise_or(x1, x2):
    """x1 | x2 of integers or truth values, elementwise."""
    return np.bitwise_or(x1, x2)


@differentiable()
def bitwise_xor(x1, x2):
    """x1 ^ x2 of integers or truth values, elementwise."""
    return np.bitwise_xor(x1, x2)


@differentiable()
def invert(x):
    """~x of integers or truth values, elementwise."""
    return np.invert(x)


@differentiable()
def isnan(x):
    """Whether x is NaN, elementwise."""
    return np.isnan(x)


@differentiable()
def isinf(x):
    """Whether x is ∞ or -∞, elementwise."""
    return np.isinf(x)


@differentiable()
def isfinite(x):
    """Whether x is neither infinite nor NaN, elementwise."""
    return np.isfinite(x)


@differentiable()
def zeros_like(a):
    """Zeros of the shape and type of `a`; a constant."""
    return np.zeros_like(a)


@differentiable()
def ones_like(a):
    """Ones of the shape and type of `a`; a constant."""
    return np.ones_like(a)
