"""The functions that a formula calls, on whatever it is run on: numbers, arrays, Tensors, or a tracer's stand-ins.

Beside these it uses + - * / , `**2` on arrays, comparisons inside `where`, and any arithmetic on hyperparameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import Tensor, ops
from optim.formula.trace import Host, StandIn, Symbol, host_call

NUMBERS = (Host, int, float)


def _traced(word: str, *arguments: Any) -> Any:
    for argument in arguments:
        if isinstance(argument, Symbol):
            return argument.trace.apply(word, *arguments)
    return None


def sqrt(x: Any) -> Any:
    """Square root. Of a negative hyperparameter it raises ValueError; of a negative element it is NaN."""
    if isinstance(x, Symbol):
        return x.trace.apply("sqrt", x)
    if isinstance(x, NUMBERS):
        return host_call("sqrt", x)
    return ops.sqrt(x)


def absolute(x: Any) -> Any:
    """Absolute value."""
    return abs(x)


def sign(x: Any) -> Any:
    """-1, 0 or 1 as x is negative, zero or positive; 0 for NaN, as in torch."""
    if isinstance(x, Symbol):
        return x.trace.apply("sign", x)
    if isinstance(x, NUMBERS):
        return host_call("sign", x)
    if isinstance(x, Tensor):
        return ops.where(x > 0, 1.0, ops.where(x < 0, -1.0, ops.zeros_like(x)))
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, b elsewhere, element by element."""
    if isinstance(condition, NUMBERS):
        what = "where chooses by elements of arrays; for a hyperparameter write `if`"
        known = [x for x in (condition, a, b) if isinstance(x, StandIn)]
        raise known[0].refused(what) if known else TypeError(what)
    traced = _traced("where", condition, a, b)
    if traced is not None:
        return traced
    return ops.where(condition, a, b)


def lerp(a: Any, b: Any, weight: Any) -> Any:
    """(1 - weight)·a + weight·b for a hyperparameter as weight, from the nearer end.

    So computes torch, which decides where infinities become NaN: inf - inf.
    """
    return a + weight * (b - a) if weight < 0.5 else b - (1 - weight) * (b - a)


def maximum(a: Any, b: Any) -> Any:
    """The larger of a and b; NaN where either is."""
    return _by_comparison("maximum", a, b, lambda: (a > b) | (a != a))


def minimum(a: Any, b: Any) -> Any:
    """The smaller of a and b; NaN where either is."""
    return _by_comparison("minimum", a, b, lambda: (a < b) | (a != a))


def _by_comparison(word: str, a: Any, b: Any, takes_first: Any) -> Any:
    traced = _traced(word, a, b)
    if traced is not None:
        return traced
    if isinstance(a, NUMBERS) and isinstance(b, NUMBERS):
        return host_call(word, a, b)
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return ops.where(takes_first(), a, b)
    return np.where(takes_first(), a, b)
