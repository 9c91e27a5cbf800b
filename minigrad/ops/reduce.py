"""Reductions over one axis, several, or all: NumPy's names and arguments."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from minigrad.backend import ON_HOST
from minigrad.ops import loops
from minigrad.ops.elementwise import absolute, not_equal, select
from minigrad.ops.shape import broadcast_to, flipped, reshape, transpose
from minigrad.tape import constant, differentiable, explaining

FEW = 4096
"""Up to so many elements, writing a repeated array costs less than making the view of it."""

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
    return reduced if keepdims or not shape else reduced.reshape(_kept_shape(shape, axis))


@lru_cache(maxsize=256)
def _kept_shape(shape, axis):
    axes = normalized_axes(axis, len(shape))
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def spread(reduced, shape, axis, keepdims):
    """A reduced array repeated over the axes that the reduction removed."""
    if axis is not None:
        reduced = restored(reduced, shape, axis, keepdims)
    if isinstance(reduced, ON_HOST) and math.prod(shape) < FEW:
        out = np.empty(shape, reduced.dtype)
        out[...] = reduced
        return out
    return broadcast_to(reduced, shape)


@lru_cache(maxsize=256)
def count(shape, axis):
    """How many elements of an array of that shape a reduction over `axis` takes together."""
    return math.prod(shape[a] for a in normalized_axes(axis, len(shape)))


@lru_cache(maxsize=256)
def _rows(shape, axis):
    """The shape of the matrix whose rows a reduction takes together; None where those don't lie in one piece."""
    axes = normalized_axes(axis, len(shape))
    first = len(shape) - len(axes)
    if set(axes) != set(range(first, len(shape))):
        return None
    return math.prod(shape[:first]), math.prod(shape[first:])


def _by_rows(loop, a, axis, *reduced):
    """An array like `a` by a loop over its rows and their reduced values; None where NumPy must do."""
    rows = _rows(a.shape, axis)
    vectors = [r.reshape(-1) for r in reduced]
    run = loops.compiled(loop, a, *vectors) if rows else None
    if run is None:
        return None
    out = np.empty_like(a)
    run(*vectors, a.reshape(rows), out.reshape(rows))
    return out


def _large(a):
    """Whether a loop is worth its call."""
    return a.size >= loops.MANY and a.__class__ is np.ndarray


@differentiable(lambda g, a_shape, axis, keepdims: spread(g, a_shape, axis, keepdims))
def sum(a, axis=None, keepdims=False):
    """Sum over `axis`."""
    return _sum(a, axis, keepdims)


def _sum(a, axis, keepdims):
    """The raw sum. On NumPy's arrays by what their method calls, in two thirds of its time."""
    if a.__class__ is np.ndarray:
        return np.add.reduce(a, axis=axis, keepdims=keepdims)
    return a.sum(axis=axis, keepdims=keepdims)


def _mean(a, axis, keepdims):
    if a.__class__ is not np.ndarray or a.dtype.char not in "fd" or not 0 < a.size < 2**24:
        return a.mean(axis=axis, keepdims=keepdims)
    total = _sum(a, axis, keepdims)  # the bits of `mean`, as long as float32 can count the elements
    return total / (a.size // total.size)


@differentiable(lambda g, a_shape, axis, keepdims: spread(g / (count(a_shape, axis) or 1), a_shape, axis, keepdims))
def mean(a, axis=None, keepdims=False):
    """Arithmetic mean over `axis`."""
    return _mean(a, axis, keepdims)


def _share_extremum(g, ans, a, axis, keepdims):
    shared = _by_rows(loops.share_extremum, a, axis, g, ans) if a.__class__ is np.ndarray else None
    if shared is not None:
        return shared
    hit = (a == restored(ans, a.shape, axis, keepdims)) | (a != a)  # a NaN is an extremum
    g = restored(g, a.shape, axis, keepdims)
    if _large(a) and np.count_nonzero(hit) == ans.size:
        return select(hit, g, 0.0)  # no ties
    ties = _sum(hit, axis, True)
    half = g.dtype == np.float16  # which counts to 65504
    share = g / ties.astype(np.float32 if half else g.dtype)
    return select(hit, share.astype(g.dtype) if half else share, 0.0)


@differentiable(_share_extremum)
def max(a, axis=None, keepdims=False):
    """Largest element over `axis`. Ties share the gradient evenly."""
    return a.max(axis=axis, keepdims=keepdims)


@differentiable(_share_extremum)
def min(a, axis=None, keepdims=False):
    """Smallest element over `axis`. Ties share the gradient evenly."""
    return a.min(axis=axis, keepdims=keepdims)


def _freedom(shape, axis, ddof):
    n = count(shape, axis)
    if n <= ddof:
        raise ValueError(f"{n} element(s) over axis {axis} with ddof={ddof} leave no degree of freedom")
    return n - ddof


def _variance(a, axis, ddof, keepdims):
    """The variance, in float32 for float16, and the mean."""
    n = _freedom(a.shape, axis, ddof)
    center = _mean(a, axis, True)
    distance = a - center
    if a.dtype == np.float16:
        squares = np.square(distance, dtype=np.float32)
    else:
        squares = distance
        squares *= distance
    return _sum(squares, axis, keepdims) / n, center


def _by_distance(share, a, center, axis, keepdims):
    """Each element's distance from the mean, times the share of its group."""
    scaled = _by_rows(loops.scale_distance, a, axis, share, center) if _large(a) else None
    if scaled is not None:
        return scaled
    distance = a - center
    distance *= restored(share, a.shape, axis, keepdims)
    return distance


@differentiable(
    lambda g, a, residual, axis, ddof, keepdims: _by_distance(
        g / (_freedom(a.shape, axis, ddof) / 2), a, residual, axis, keepdims
    ),
    residual=lambda a, axis: mean(a, axis=axis, keepdims=True),
)
def var(a, axis=None, ddof=0, keepdims=False):
    """Variance over `axis`: the mean square distance from the mean, over n - ddof."""
    variance, center = _variance(a, axis, ddof, keepdims)
    return variance if variance.dtype is a.dtype else variance.astype(a.dtype), center


def _over(g, size):
    """g / size, and 0 where the size is 0."""
    if size.__class__ is np.ndarray and np.count_nonzero(size) == size.size:
        return g / size
    return g * (size != 0) / (size + (size == 0))


@differentiable(
    lambda g, ans, a, residual, axis, ddof, keepdims: _by_distance(
        _over(g, ans) / _freedom(a.shape, axis, ddof), a, residual, axis, keepdims
    ),
    residual=lambda a, axis: mean(a, axis=axis, keepdims=True),
)
def std(a, axis=None, ddof=0, keepdims=False):
    """Standard deviation over `axis`, the square root of `var`; subgradient 0 where it is 0."""
    variance, center = _variance(a, axis, ddof, keepdims)
    deviation = np.sqrt(variance)
    return deviation if deviation.dtype is a.dtype else deviation.astype(a.dtype), center


def _times_others(g, a):
    """g times the product of all other elements along the last axis: by halves, so that zeros do no harm."""
    n = a.shape[-1]
    if n < 2:
        return g * np.ones_like(a)
    if n == 2:
        return g * a[..., ::-1]
    if n % 2:
        return _times_others(g, np.concatenate([a, np.ones_like(a[..., :1])], axis=-1))[..., :n]
    first, second = a[..., : n // 2], a[..., n // 2 :]
    rest = _times_others(g, first * second)
    return np.concatenate([rest * second, rest * first], axis=-1)


def _scale_by_others(g, a, axis, keepdims):
    scaled = _by_rows(loops.times_others, a, axis, g) if a.__class__ is np.ndarray and a.size else None
    if scaled is not None:
        return scaled
    g = restored(g, a.shape, axis, keepdims)
    if isinstance(axis, int) and a.ndim:
        if axis in (-1, a.ndim - 1):
            return _times_others(g, a)
        return _times_others(g.swapaxes(axis, -1), a.swapaxes(axis, -1)).swapaxes(axis, -1)
    axes = normalized_axes(axis, a.ndim)
    order = (*(i for i in range(a.ndim) if i not in axes), *axes)
    moved = transpose(a, order)
    kept = moved.shape[: a.ndim - len(axes)]
    scaled = _times_others(reshape(g, (*kept, 1)), reshape(moved, (*kept, count(a.shape, axis))))
    return transpose(reshape(scaled, moved.shape), tuple(order.index(i) for i in range(a.ndim)))


def _products(a, axis, keepdims):
    """Those of the rows of a large array by a loop; None where NumPy must do."""
    rows = _rows(a.shape, axis)
    run = loops.compiled(loops.product, a) if rows and rows[0] >= 4 else None
    if run is None:
        return None
    out = np.empty(a.shape[: a.ndim - len(normalized_axes(axis, a.ndim))], a.dtype)
    run(a.reshape(rows), out.reshape(-1))
    return restored(out, a.shape, axis, False) if keepdims else out


@differentiable(_scale_by_others)
def prod(a, axis=None, keepdims=False):
    """Product over `axis`; its derivatives are exact where factors are 0 too."""
    products = _products(a, axis, keepdims) if _large(a) else None
    return a.prod(axis=axis, keepdims=keepdims) if products is None else products


def _sum_of_later(g, a_shape, axis):
    later = _by_rows(loops.sum_of_later, g, axis) if g.__class__ is np.ndarray else None
    if later is None and _large(g):
        later = np.empty_like(g)
        flipped(g, axis).cumsum(axis=axis, out=flipped(later, axis))
    elif later is None:
        later = flipped(flipped(g, axis).cumsum(axis=axis), axis)
    return later.reshape(a_shape) if axis is None else later


@differentiable(_sum_of_later)
def cumsum(a, axis=None):
    """Sum of each element and those before it along `axis`; of all elements in order by default."""
    sums = _by_rows(loops.sum_of_earlier, a, axis) if _large(a) else None
    if sums is None:
        return a.cumsum(axis=axis)
    return sums.reshape(-1) if axis is None else sums


def _raw_logsumexp(a, axis, keepdims):
    top = a.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(np.exp(a - top).sum(axis=axis, keepdims=True)) + top
    return total if keepdims else total.squeeze(axis)


@differentiable(
    lambda g, ans, a, axis, keepdims: (
        restored(g, a.shape, axis, keepdims) * np.exp(a - restored(ans, a.shape, axis, keepdims))
    )
)
def logsumexp(a, axis=None, keepdims=False):
    """log Σ exp(a) over `axis`, without overflow."""
    return _raw_logsumexp(a, axis, keepdims)


def _by_power(g, ans, x, ord, axis, keepdims):
    if ord == 2:
        return x * restored(_over(g, ans), x.shape, axis, keepdims)
    share = np.where(ans == 0, 0.0, g / np.where(ans == 0, 1.0, ans) ** (ord - 1))
    powers = np.sign(x) * np.where(x == 0, 1.0, np.absolute(x)) ** (ord - 1)
    return powers * restored(share, x.shape, axis, keepdims)


@differentiable(_by_power)
def _norm(x, ord, axis, keepdims):
    if x.dtype == np.float16:  # whose squares may be beyond it
        return np.linalg.norm(x.astype(np.float32), None if ord == 2 else ord, axis, keepdims).astype(x.dtype)
    return np.linalg.norm(x, None if ord == 2 else ord, axis, keepdims)


@explaining
def norm(x, ord=None, axis=None, keepdims=False) -> Any:
    """Norm over `axis`, as np.linalg.norm: of vectors for an int, of matrices for a pair, of all elements for None.

    ord, vectors: (Σ |x|ᵖ)^(1/p) for a number p, 2 by default; ±inf largest or smallest |x|; 0 how many are not 0.
    ord, matrices: "fro" (the default) √Σ x²; ±1 largest or smallest column sum of |x|, ±inf of row sums.
    Subgradient 0 where a norm is 0, and for elements that are 0.

    Raises ValueError for another ord, and for more than two axes.
    """
    if ord is None and (axis is None or isinstance(axis, int)):
        return _norm(x, 2, axis, keepdims)
    ord = constant("norm", "ord", ord)
    axes = normalized_axes(axis, x.ndim)
    if isinstance(ord, str) and len(axes) != 2:
        raise ValueError(f"norm: ord {ord!r} is for matrices, got axis {axis} of shape {x.shape}")
    if len(axes) == 1:
        return _vector_norm(x, 2 if ord is None else ord, axis, keepdims)
    if len(axes) != 2:
        raise ValueError(f"norm: ord {ord!r} over axis {axis} of shape {x.shape}: expected one axis or two")
    if ord in (None, "fro"):
        return _norm(x, 2, axis, keepdims)
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
    return _norm(x, ord, axis, keepdims)


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
