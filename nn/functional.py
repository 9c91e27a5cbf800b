"""Layers and losses as functions: `import nn.functional as F`.

Losses take `reduction`: "mean", "sum", or "none" for a loss of each example or element. All of them raise ValueError
for another reduction, for shapes that don't agree and for the mean of an empty batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import backend, ops
from minigrad.ops import elu, gelu, leaky_relu, linear, relu, sigmoid, silu, tanh
from minigrad.ops import layers as fused
from minigrad.tape import Variable
from minigrad.tensor import as_array

__all__ = [
    "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy",
    "dropout", "elu", "embedding", "gelu", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "linear", "log_softmax", "mse_loss", "nll_loss", "relu", "sigmoid", "silu", "smooth_l1_loss",
    "softmax", "softplus", "tanh",
]  # fmt: skip


# --- activations


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta · x)) / beta, and x itself where beta · x is above `threshold`."""
    scaled = input * beta
    return ops.where(scaled > threshold, input, ops.softplus(scaled) / beta)


def _axis(input: Any, dim: int | None) -> int:
    return (0 if input.ndim in (0, 1, 3) else 1) if dim is None else dim


def softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """exp(x) over its sum along an axis.

    dim: the axis. None means 0 for inputs of 0, 1 or 3 axes and 1 for others, so rather say which.
    dtype: to convert to first.
    """
    return ops.softmax(input if dtype is None else ops.astype(input, dtype), _axis(input, dim))


def log_softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """Logarithm of softmax, without overflow; arguments as of `softmax`."""
    return ops.log_softmax(input if dtype is None else ops.astype(input, dtype), _axis(input, dim))


# --- layers


def check_probability(name: str, p: float) -> None:
    """Raise ValueError unless p lies in [0, 1]."""
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p must be a probability in [0, 1], got {p!r}")


def dropout(input: Any, p: float = 0.5, training: bool = True) -> Any:
    """In training, each element 0 with probability p and the others times 1 / (1 - p); else the input itself.

    Drawn on the host, from the stream that `minigrad.manual_seed` seeds, so that every device and type drops the same.
    """
    check_probability("dropout", p)
    if not training or p == 0:
        return input
    kept = backend.default_generator().random(input.shape, dtype=np.float32) >= p
    scale = np.multiply(kept, 1 / (1 - p) if p < 1 else 0.0, dtype=input.dtype)
    return input * backend.to_device(scale, backend.device_of(as_array(input)))


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """weight[input]: a row of `weight` for each index; the row `padding_idx` gets no gradient.

    Raises TypeError for indices that are not integers; on the CPU, IndexError for one out of range.
    """
    if padding_idx is not None and padding_idx < 0:
        padding_idx += len(weight)
    return fused.embedding(weight, as_array(input), padding_idx)


def layer_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """(x - E[x]) / √(Var[x] + eps) · weight + bias, mean and variance over the last axes, of `normalized_shape`."""
    shape = tuple(normalized_shape)
    if not shape or input.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm: expected an input whose last axes are {shape}, got shape {input.shape}")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.shape != shape:
            raise ValueError(f"layer_norm: {name} must have normalized_shape {shape}, got {value.shape}")
    return fused.normalize(input, weight, bias, tuple(range(-len(shape), 0)), eps)


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """(x - mean) / √(variance + eps) · weight + bias for each channel, the second axis of the input.

    training: take mean and variance from the batch, and move the running ones, where given, towards them:
        running = (1 - momentum) · running + momentum · batch, with the unbiased variance. Else use the running ones.
    """
    if input.ndim < 2:
        raise ValueError(f"batch_norm: expected shape (batch, channels, ...), got {input.shape}")
    axes = (0, *range(2, input.ndim))
    weight, bias = (value and ops.reshape(value, (-1, *(1,) * (input.ndim - 2))) for value in (_or(weight), _or(bias)))
    return fused.normalize(input, weight, bias, axes, eps)


# --- losses


def _array_or_tensor(value: Any) -> Any:
    return value if isinstance(value, Variable) else as_array(value)
