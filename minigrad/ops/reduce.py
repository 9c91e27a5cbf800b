"""Reductions over one axis, several, or all: NumPy's names and arguments."""

from __future__ import annotations

import numpy as np

from minigrad.ops.elementwise import exp, sqrt, where
from minigrad.ops.shape import broadcast_to, reshape
from minigrad.tape import differentiable


def normalized_axes(axis, ndim):
    """`axis` (None, an int or a tuple) as a tuple of axes counted from the front."""
    if axis is None:
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
    n = 1
    for a in normalized_axes(axis, len(shape)):
        n *= shape[a]
    return n


@differentiable(lambda g, a_shape, axis, keepdims: spread(g, a_shape, axis, keepdims))
def sum(a, axis=None, keepdims=False):
    """Sum over `axis`."""
    return a.sum(axis=axis, keepdims=keepdims)


@differentiable(lambda g, a_shape, axis, keepdims: spread(g / count(a_shape, axis), a_shape, axis, keepdims))
def mean(a, axis=None, keepdims=False):
    """Arithmetic mean over `axis`."""
    return a.mean(axis=axis, keepdims=keepdims)


def _share_extremum(g, ans, a, axis, keepdims):
    hit = a == restored(ans, a.shape, axis, keepdims)
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


def var(a, axis=None, ddof=0, keepdims=False):
    """Variance over `axis`: the mean square distance from the mean, over n - ddof."""
    centered = a - mean(a, axis=axis, keepdims=True)
    return sum(centered * centered, axis=axis, keepdims=keepdims) / _freedom(a, axis, ddof)


def std(a, axis=None, ddof=0, keepdims=False):
    """Standard deviation over `axis`, the square root of `var`; its derivative at 0 is infinite."""
    return sqrt(var(a, axis=axis, ddof=ddof, keepdims=keepdims))


def _freedom(a, axis, ddof):
    n = count(a.shape, axis) - ddof
    if n <= 0:
        raise ValueError(f"var: {n + ddof} element(s) over axis {axis} with ddof={ddof} leave no degree of freedom")
    return n


def _logsumexp(a, axis=None, keepdims=False):
    top = a.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(np.exp(a - top).sum(axis=axis, keepdims=True)) + top
    return total if keepdims else total.reshape(a.max(axis=axis).shape)


@differentiable(
    lambda g, ans, a, axis, keepdims: restored(g, a.shape, axis, keepdims)
    * exp(a - restored(ans, a.shape, axis, keepdims))
)
def logsumexp(a, axis=None, keepdims=False):
    """log Σ exp(a) over `axis`, without overflow."""
    return _logsumexp(a, axis, keepdims)


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
