"""Operations behind the layers and losses of `nn`, one node each."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import backend
from minigrad.ops import kernels
from minigrad.ops.elementwise import astype, clip, log, log1p, sqrt, where
from minigrad.ops.index import put
from minigrad.ops.linalg import BY_LINEAR, by_rows
from minigrad.ops.neural import minus_one_hot, softmax, where_positive
from minigrad.ops.reduce import mean
from minigrad.tape import Variable, differentiable, explaining, raw


@differentiable(*BY_LINEAR)
def _linear(x, weight, bias):
    """x · weightᵀ, with the gradients that `linear` has: its bias is added by whatever comes next."""
    return by_rows(x, weight)


@differentiable(where_positive, None)
def _relu(x, bias):
    """max(x + bias, 0), in the memory of x."""
    if x.size < 2**32 and x.shape[-1:] == bias.shape and kernels.fitting(x, bias):
        kernels.biased_relu(x, bias)
        return x
    np.add(x, bias, out=x)
    return np.maximum(x, 0, out=x)


def linear_relu(x, weight, bias) -> Any:
    """relu(linear(x, weight, bias)) with one launch on a GPU for both what is added and what is cut off."""
    return _relu(_linear(x, weight, bias), bias)


def _standardized(x, axes, eps):
    """x with mean 0 and variance 1 over `axes`, and the factor that made it so."""
    centered = x - mean(x, axis=axes, keepdims=True)
    wide = astype(centered, np.float32) if x.dtype == np.float16 else centered  # squares may be beyond float16
    factor = 1 / sqrt(mean(wide * wide, axis=axes, keepdims=True) + eps)
    factor = factor if wide is centered else astype(factor, x.dtype)
    return centered * factor, factor


def _fits(*arrays):
    """Whether a CUDA kernel takes these arrays, of which some may be None."""
    present = [array for array in arrays if array is not None]
    return not any(isinstance(array, Variable) for array in present) and kernels.fitting(*present)


def _through_statistics(g, weight, residual, axes):
    x_hat, factor = residual
    if axes == (-1,) and _fits(g, weight, x_hat):
        return kernels.normalize_back(g, weight, x_hat, factor)
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
    if axes == (-1,) and _fits(x, weight, bias):
        out, *residual = kernels.normalize(x, weight, bias, eps)
        return out, tuple(residual)
    x_hat, factor = _standardized(x, axes, eps)
    out = x_hat.copy() if weight is None else x_hat * weight
    if bias is not None:
        out += bias
    return out, (x_hat, factor)


def _differences(logits, target, ignore_index):
    """Softmax less 1 at each label, 0 in rows that are ignored, and 1 / how many are not."""
    kept = target != ignore_index
    labels = np.where(kept, target, 0)
    difference = minus_one_hot(softmax(logits, -1), labels)
    return where(kept[:, None], difference, 0.0), 1 / kept.sum().astype(logits.dtype)


def kernel_takes(input, labels) -> Any:
    """Whether `cross_entropy_kernel` takes logits (rows, classes) and labels (rows,) like these."""
    array = raw(input)
    fits = array.ndim == 2 and labels.shape == array.shape[:1] and array.size and labels.dtype == np.int64
    return fits and kernels.fitting(array) and labels.flags.c_contiguous


def _scaled(g, residual):
    difference, factor = residual
    return kernels.times_both(difference, g, factor) if _fits(difference, g, factor) else difference * (g * factor)


@differentiable(_scaled, residual=_differences)
def cross_entropy_kernel(logits, target, ignore_index):
    """`softmax_cross_entropy` on a GPU: labels are not checked, those equal to `ignore_index` count for nothing."""
    mean, *residual = kernels.cross_entropy(logits, target, ignore_index)
    return mean, tuple(residual)


@explaining
def dropout(x, p) -> Any:
    """x with each element 0 with probability p and the others times 1 / (1 - p), by the thread's random stream."""
    array = raw(x)
    if array.dtype.kind not in "fc":
        raise TypeError("expected x of a floating-point type")
    scale = 1 / (1 - p) if p < 1 else 0.0
    factors = kernels.dropout_factors(array, p, scale) if kernels.fitting(array) else None
    if factors is None:
        kept = backend.default_generator().random(array.shape, dtype=np.float32) >= p
        factors = backend.to_device(np.multiply(kept, scale, dtype=array.dtype), backend.device_of(array))
    return x * factors


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
