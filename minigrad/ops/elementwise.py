"""Elementwise operations, NumPy's names and broadcasting: the value, and above it the derivative.

Each rule is one line of a table of derivatives: `g` is the gradient of the answer `ans`. Where a function has a
kink, the subgradient taken is the one noted beside it.
"""

from __future__ import annotations

import math

import numpy as np

from minigrad import backend
from minigrad.tape import Variable, differentiable


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


def _power_of_base(g, x1, x2):
    if isinstance(x2, int | float):
        return g * (x2 * x1 ** (x2 - 1)) if x2 else zeros_like(g)
    return where(x2 == 0, 0.0, g * x2 * x1 ** where(x2 == 0, 1.0, x2 - 1))


@differentiable(
    _power_of_base,
    lambda g, ans, x1: g * ans * log(where(x1 > 0, x1, 1.0)),  # 0 at a base of 0, as for exponents > 0
    broadcasts=True,
)
def power(x1, x2):
    """x1 to the power x2. The derivative by x2 is taken as 0 for bases that are not positive."""
    return x1**x2


@differentiable(lambda g: -g)
def negative(x):
    """-x."""
    return np.negative(x)


@differentiable(lambda g, x: g * sign(x))
def absolute(x):
    """|x|; subgradient 0 at 0."""
    return np.absolute(x)


@differentiable(lambda g: zeros_like(g))
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


@differentiable(lambda g, x: g * cos(x))
def sin(x):
    """Sine of x radians."""
    return np.sin(x)


@differentiable(lambda g, x: -g * sin(x))
def cos(x):
    """Cosine of x radians."""
    return np.cos(x)


@differentiable(lambda g, ans: g * (1 + ans * ans))
def tan(x):
    """Tangent of x radians."""
    return np.tan(x)


@differentiable(lambda g, x: g / sqrt(1 - x * x))
def arcsin(x):
    """Inverse sine, in radians."""
    return np.arcsin(x)


@differentiable(lambda g, x: -g / sqrt(1 - x * x))
def arccos(x):
    """Inverse cosine, in radians."""
    return np.arccos(x)


@differentiable(lambda g, x: g / (1 + x * x))
def arctan(x):
    """Inverse tangent, in radians."""
    return np.arctan(x)


@differentiable(lambda g, x: g * cosh(x))
def sinh(x):
    """Hyperbolic sine."""
    return np.sinh(x)


@differentiable(lambda g, x: g * sinh(x))
def cosh(x):
    """Hyperbolic cosine."""
    return np.cosh(x)


@differentiable(lambda g, ans: g * (1 - ans * ans))
def tanh(x):
    """Hyperbolic tangent."""
    return np.tanh(x)


def _where_larger(g, larger, smaller):
    return where(larger == smaller, g / 2, where(larger < smaller, 0.0, g))


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
    lambda g, condition: where(condition, g, 0.0),
    lambda g, condition: where(condition, 0.0, g),
    broadcasts=True,
)
def where(condition, x, y):
    """x where `condition` holds, y elsewhere."""
    return np.where(condition, x, y)


@differentiable(lambda g, a, a_min, a_max: where(_inside(a, a_min, a_max), g, 0.0))
def clip(a, a_min=None, a_max=None):
    """`a` limited to [a_min, a_max], numbers or None. The bounds themselves pass the gradient, as in torch."""
    return np.clip(a, a_min, a_max)


def _inside(a, a_min, a_max):
    if a_min is None or a_max is None:
        return a <= a_max if a_min is None else a >= a_min
    return (a >= a_min) & (a <= a_max)


@differentiable(lambda g, a: g.astype(a.dtype))
def astype(a, dtype):
    """`a` in another floating-point type."""
    return a.astype(dtype)


@differentiable(lambda g, a: to_device(g, device_of(a)))
def to_device(a, device):
    """`a` on another device."""
    return backend.to_device(a, device)


def device_of(a):
    """Where an array or a tensor lives."""
    return backend.device_of(a.data if isinstance(a, Variable) else a)


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
def isnan(x):
    """Whether x is NaN, elementwise."""
    return np.isnan(x)


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
