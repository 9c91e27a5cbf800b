"""Operations behind the layers and losses of `nn`, one node each."""

from __future__ import annotations

import numpy as np

from minigrad.ops.elementwise import clip, log, log1p, sqrt, where
from minigrad.ops.index import put
from minigrad.ops.reduce import mean
from minigrad.tape import differentiable


def _standardized(x, axes, eps):
    """x with mean 0 and variance 1 over `axes`, and the factor that made it so."""
    centered = x - mean(x, axis=axes, keepdims=True)
    factor = 1 / sqrt(mean(centered * centered, axis=axes, keepdims=True) + eps)
    return centered * factor, factor


def _through_statistics(g, weight, residual, axes):
    x_hat, factor = residual
    if weight is not None:
        g = g * weight
    return factor * (g - mean(g, axis=axes, keepdims=True) - x_hat * mean(g * x_hat, axis=axes, keepdims=True))


@differentiable(
    _through_statistics,
    lambda g, residual: g * residual[0],
    lambda g: g,
    broadcasts=True,
    residual=lambda x, axes, eps: _standardized(x, axes, eps),
)
def normalize(x, weight, bias, axes, eps):
    """(x - E[x]) / √(Var[x] + eps) · weight + bias, mean and variance over `axes`; weight and bias may be None.

    What layer norm and batch norm are, in one node.
    """
    x_hat, factor = _standardized(x, axes, eps)
    out = x_hat.copy() if weight is None else x_hat * weight
    if bias is not None:
        out += bias
    return out, (x_hat, factor)


def _to_rows(g, weight_shape, indices, padding_idx):
    if padding_idx is not None:
        g = where((indices == padding_idx)[..., None], 0.0, g)
    return put(g, weight_shape, indices)


@differentiable(_to_rows)
def embedding(weight, indices, padding_idx=None):
    """weight[indices]: rows of a matrix. The row `padding_idx` gets no gradient."""
    if weight.ndim != 2:
        raise ValueError("expected a weight of shape (num_embeddings, embedding_dim)")
    if indices.dtype.kind not in "iu":
        raise TypeError("expected integer indices")
    # on a device this check would wait for it
    if isinstance(indices, np.ndarray) and indices.size and not 0 <= indices.min() <= indices.max() < len(weight):
        raise IndexError(f"indices must be in 0..{len(weight) - 1}, got {indices.min()} to {indices.max()}")
    return weight[indices]


def _log_odds(p):
    """log(1 - p) - log p, each limited as in the loss itself."""
    safe = where((p > 0) & (p < 1), p, 0.5)
    return where(p >= 1, -100.0, where(p <= 0, 100.0, log1p(-safe) - log(safe)))


@differentiable(
    lambda g, input, target: g * (input - target) / clip(input * (1 - input), 1e-12, None),
    lambda g, input: g * _log_odds(input),
)
def binary_cross_entropy(input, target):
    """-target · log(input) - (1 - target) · log(1 - input) for each probability `input`.

    Finite at 0 and 1: the logarithms are no less than -100, and the derivative's denominator no less than 1e-12.
    """
    if input.shape != target.shape:
        raise ValueError("expected input and target of the same shape")
    # on a device this check would wait for it
    if isinstance(input, np.ndarray) and input.size and not (input.min() >= 0 and input.max() <= 1):
        raise ValueError(f"input must be probabilities in [0, 1], got {input.min()} to {input.max()}")
    with np.errstate(divide="ignore"):
        hit, miss = np.maximum(np.log(input), -100.0), np.maximum(np.log1p(-input), -100.0)
    return (target - 1) * miss - target * hit
