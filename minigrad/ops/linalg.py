"""Products of matrices and vectors."""

from __future__ import annotations

import numpy as np

from minigrad import backend
from minigrad.ops.shape import expand_dims, reshape, swapaxes
from minigrad.tape import Variable, differentiable, fitted


def _by_first(g, x1_shape, x2):
    if x2.ndim == 1:  # (..., n) · (n,): an outer product
        return fitted(expand_dims(g, -1) * x2, x1_shape, g.dtype)
    if len(x1_shape) == 1:
        g = expand_dims(g, -2)
    product = matmul(g, swapaxes(x2, -1, -2))
    return fitted(product if len(x1_shape) > 1 else product[..., 0, :], x1_shape, g.dtype)


def _by_second(g, x1, x2_shape):
    if x1.ndim == 1 and len(x2_shape) == 1:
        return g * x1
    if x1.ndim == 1:  # (m,) · (..., m, n)
        return fitted(expand_dims(x1, -1) * expand_dims(g, -2), x2_shape, g.dtype)
    if len(x2_shape) == 1:
        product = matmul(swapaxes(x1, -1, -2), expand_dims(g, -1))
        return fitted(product[..., 0], x2_shape, g.dtype)
    return fitted(matmul(swapaxes(x1, -1, -2), g), x2_shape, g.dtype)


@differentiable(_by_first, _by_second)
def matmul(x1, x2):
    """Matrix product over the last two axes, in all of NumPy's combinations of ranks."""
    return np.matmul(x1, x2)


def rows(x):
    """`x` of any rank as a matrix whose columns are its last axis."""
    return x if x.ndim == 2 else reshape(x, (-1, x.shape[-1]))


def ones_beside(g):
    """As many ones as `g` has rows: `g.T.dot(ones)` sums its columns at a quarter of the cost of `g.sum(0)`."""
    return backend.ones(len(g), g.data if isinstance(g, Variable) else g)


@differentiable(
    lambda g, weight: g.dot(weight) if g.ndim == 2 else g @ weight,
    lambda g, x: g.T.dot(x) if g.ndim == 2 else rows(g).T.dot(rows(x)),
    lambda g: g.T.dot(ones_beside(g)) if g.ndim == 2 else rows(g).sum(axis=0),
)
def linear(x, weight, bias=None):
    """x · weightᵀ + bias in one node: x (..., in), weight (out, in), bias (out,) or None, answer (..., out)."""
    # dot costs less than matmul to call, and gives the same bits
    out = x.dot(weight.T) if x.ndim == 2 else np.matmul(x, weight.T)
    if bias is not None:
        np.add(out, bias, out=out)
    return out
