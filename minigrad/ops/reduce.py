"""Reductions over one axis, several, or all: NumPy's names and arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.ops.elementwise import absolute, exp, not_equal, ones_like, sign, where
from minigrad.ops.shape import broadcast_to, concatenate, flip, reshape, transpose
from minigrad.tape import differentiable

__all__ = [
    "all", "any", "argmax", "argmin", "cumsum", "logsumexp", "max", "mean", "min", "norm", "prod", "std", "sum", "var",
]  # fmt: skip


def normalized_axes(axis, ndim):
    """`axis` (None, an int or a tuple) as a tuple of axes counted from the front."""
    if axis is None or not ndim:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    return tuple(a + ndim if a < 0 else a for a in axes)


def restored(reduced, shape, axis, keepdims):
    """A reduced array with the axes that the reduction removed put back at length 1."""
    if keepdims or not shape:
        return reduced
    axes = normalized_axes(axis, len(shape))
    return reshape(reduced, tuple(1 if i in axes else n for i, n in enumerate(shape)))


def spread(reduced, shape, axis, keepdims):
    """A reduced array repeated over the axes that the reduction removed."""
    return broadcast_to(restored(reduced, shape, axis, keepdims), shape)


def count(shape, axis):
    """How many elements of an array of that shape a reduction over `axis` takes together."""
    return math.prod(shape[a] for a in normalized_axes(axis, len(shape)))


@differentiable(lambda g, a_shape, axis, keepdims: spread(g, a_shape, axis, keepdims))
def sum(a, axis=None, keepdims=False):
    """Sum over `axis`."""
    return a.sum(axis=axis, keepdims=keepdims)


@differentiable(lambda g, a_shape, axis, keepdims: spread(g / (count(a_shape, axis) or 1), a_shape, axis, keepdims))
def mean(a, axis=None, keepdims=False):
    """Arithmetic mean over `axis`."""
    return a.mean(axis=axis, keepdims=keepdims)


def _share_extremum(g, ans, a, axis, keepdims):
    hit = (a == restored(ans, a.shape, axis, keepdims)) | (a != a)  # a NaN is an extremum
    ties = hit.sum(axis=normalized_axes(axis, a.ndim), keepdims=True)
    return where(hit, restored(g, a.shape, axis, keepdims) / ties.astype(g.dtype), 0.0)


@differentiable(_share_extremum)
def max(a, axis=None, keepdims=False):
    """Largest element over `axis`. Ties share the gradient evenly."""
    return a.max(axis=axis, keepdims=keepdims)


@differentiable(_share_extremum)
def min(a, axis=None, keepdims=False):
    """Smallest element over `axis`. Ties share the gradient evenly."""
    return a.min(axis=axis, keepdims=keepdims)


def var(a, axis=None, ddof=0, keepdims=False) -> Any:
    """Variance over `axis`: the mean square distance from the mean, over n - ddof."""
    centered = a - mean(a, axis=axis, keepdims=True)
    return sum(centered * centered, axis=axis, keepdims=keepdims) / _freedom(a, axis, ddof)


@differentiable(lambda g, ans: where(ans == 0, 0.0, g / (2 * where(ans == 0, 1.0, ans))))
def safe_sqrt(x):
    return np.sqrt(x)


def std(a, axis=None, ddof=0, keepdims=False) -> Any:
    """Standard deviation over `axis`, the square root of `var`; subgradient 0 where it is 0."""
    return safe_sqrt(var(a, axis=axis, ddof=ddof, keepdims=keepdims))


def _freedom(a, axis, ddof):
    n = count(a.shape, axis) - ddof
    if n <= 0:
        raise ValueError(f"var: {n + ddof} element(s) over axis {axis} with ddof={ddof} leave no degree of freedom")
    return n


def _product_of_others(a):
    """For each element, the product of all others along the last axis: by halves, so that zeros do no harm."""
    n = a.shape[-1]
    if n < 2:
        return ones_like(a)
    if n % 2:
        return _product_of_others(concatenate([a, ones_like(a[..., :1])], axis=-1))[..., :n]
    first, second = a[..., : n // 2], a[..., n // 2 :]
    rest = _product_of_others(first * second)
    return concatenate([rest * second, rest * first], axis=-1)


def _scale_by_others(g, a, axis, keepdims):
    axes = normalized_axes(axis, a.ndim)
    order = (*(i for i in range(a.ndim) if i not in axes), *axes)
    moved = transpose(a, order)
    others = _product_of_others(reshape(moved, (*moved.shape[: a.ndim - len(axes)], count(a.shape, axis))))
    back = tuple(order.index(i) for i in range(a.ndim))
    return restored(g, a.shape, axis, keepdims) * transpose(reshape(others, moved.shape), back)


@differentiable(_scale_by_others)
def prod(a, axis=None, keepdims=False):
    """Product over `axis`; its derivatives are exact where factors are 0 too."""
    return a.prod(axis=axis, keepdims=keepdims)


def _sum_of_later(g, a_shape, axis):
    later = flip(cumsum(flip(g, axis), axis), axis)
    return reshape(later, a_shape) if axis is None else later


@differentiable(_sum_of_later)
def cumsum(a, axis=None):
    """Sum of each element and those before it along `axis`; of all elements in order by default."""
    return a.cumsum(axis=axis)


def _raw_logsumexp(a, axis, keepdims):
    top = a.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(np.exp(a - top).sum(axis=axis, keepdims=True)) + top
    return total if keepdims else total.squeeze(normalized_axes(axis, a.ndim))


@differentiable(
    lambda g, ans, a, axis, keepdims: (
        restored(g, a.shape, axis, keepdims) * exp(a - restored(ans, a.shape, axis, keepdims))
    )
)
def logsumexp(a, axis=None, keepdims=False):
    """log Σ exp(a) over `axis`, without overflow."""
    return _raw_logsumexp(a, axis, keepdims)


def _by_power(g, ans, x, ord, axis, keepdims):
    ans, g = (restored(value, x.shape, axis, keepdims) for value in (ans, g))
    share = where(ans == 0, 0.0, g / where(ans == 0, 1.0, ans) ** (ord - 1))
    return x * share if ord == 2 else sign(x) * where(x == 0, 1.0, absolute(x)) ** (ord - 1) * share


@differentiable(_by_power)
def power_norm(x, ord, axis, keepdims):
    return np.linalg.norm(x, None if ord == 2 else ord, axis, keepdims)


def norm(x, ord=None, axis=None, keepdims=False) -> Any:
    """Norm over `axis`, as np.linalg.norm: of vectors for an int, of matrices for a pair, of all elements for None.

    ord, vectors: (Σ |x|ᵖ)^(1/p) for a number p, 2 by default; ±inf largest or smallest |x|; 0 how many are not 0.
    ord, matrices: "fro" (the default) √Σ x²; ±1 largest or smallest column sum of |x|, ±inf of row sums.
    Subgradient 0 where a norm is 0, and for elements that are 0.

    Raises ValueError for another ord, and for more than two axes.
    """
    axes = normalized_axes(axis, x.ndim)
    if ord is None and axis is None:
        return power_norm(x, 2, None, keepdims)
    if isinstance(ord, str) and len(axes) != 2:
        raise ValueError(f"norm: ord {ord!r} is for matrices, got axis {axis} of shape {x.shape}")
    if len(axes) == 1:
        return _vector_norm(x, 2 if ord is None else ord, axis, keepdims)
    if len(axes) != 2:
        raise ValueError(f"norm: ord {ord!r} over axis {axis} of shape {x.shape}: expected one axis or two")
    if ord in (None, "fro"):
        return power_norm(x, 2, axis, keepdims)
    if ord not in (1, -1, math.inf, -math.inf):
        raise ValueError(f'norm: for matrices, ord must be None, "fro", 1, -1, inf or -inf, got {ord!r}')
    summed, kept = axes if abs(ord) == 1 else axes[::-1]
    largest = (max if ord > 0 else min)(sum(absolute(x), axis=summed, keepdims=True), axis=kept, keepdims=True)
    return largest if keepdims else largest.squeeze(axes)


def _vector_norm(x, ord, axis, keepdims):
    if ord == 0:
        return sum(not_equal(x, 0).astype(x.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(absolute(x), axis=axis, keepdims=keepdims)
    if math.isinf(ord):
        return (max if ord > 0 else min)(absolute(x), axis=axis, keepdims=keepdims)
    return power_norm(x, ord, axis, keepdims)


@differentiable()
def argmax(a, axis=None, keepdims=False):
    """Index of the first largest element over `axis`."""
    return a.argmax(axis=axis, keepdims=keepdims)


@differentiable()
def argmin(a, axis=None, keepdims=False):
    """Index of the first smallest element over `axis`."""
    return a.argmin(axis=axis, keepdims=keepdims)


@differentiable()
def any(a, axis=None, keepdims=False):
    """Whether any element over `axis` holds."""
    return a.any(axis=axis, keepdims=keepdims)


@differentiable()
def all(a, axis=None, keepdims=False):
    """Whether all elements over `axis` hold."""
    return a.all(axis=axis, keepdims=keepdims)
