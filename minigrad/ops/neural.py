"""Operations of neural networks: activations, softmax, and the losses that are one node each."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minigrad import backend
from minigrad.ops.elementwise import absolute, exp, log1p, maximum, where
from minigrad.ops.reduce import restored, sum
from minigrad.tape import differentiable


@differentiable(lambda g, ans: g * (ans > 0))
def relu(x):
    """max(x, 0); subgradient 0 at 0."""
    return np.maximum(x, 0)


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1 + e)


@differentiable(lambda g, ans: g * ans * (1 - ans))
def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow."""
    return _sigmoid(x)


@differentiable(lambda g, x: g * sigmoid(x))
def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(x, 0)


def _softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    e /= e.sum(axis=axis, keepdims=True)
    return e


@differentiable(lambda g, ans, axis: (g - sum(g * ans, axis=axis, keepdims=True)) * ans)
def softmax(x, axis=-1):
    """exp(x) over its sum along `axis`."""
    return _softmax(x, axis)


def _log_softmax(x, axis):
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


@differentiable(lambda g, ans, axis: g - exp(ans) * sum(g, axis=axis, keepdims=True))
def log_softmax(x, axis=-1):
    """Logarithm of softmax, without overflow."""
    return _log_softmax(x, axis)


@lru_cache(maxsize=64)
def _numpy_row_starts(n, classes):
    return np.arange(0, n * classes, classes)


def row_starts(x):
    """Where each row of the matrix `x` starts in memory order: with it, flat indices read faster than pairs."""
    n, classes = x.shape
    if isinstance(x, np.ndarray):
        return _numpy_row_starts(n, classes)
    return backend.namespace(x).arange(0, n * classes, classes)


def check_labels(logits, target):
    """Raise where `target` is not one label in range for each row of `logits`."""
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        raise ValueError("expected logits of shape (rows, classes) and one label for each row")
    if target.dtype.kind not in "iu":
        raise TypeError("expected integer labels")
    if not len(target):
        raise ValueError("an empty batch has no mean loss")
    if isinstance(target, np.ndarray):  # on a device this check would wait for it
        least, most = target.item(target.argmin()), target.item(target.argmax())
        if least < 0 or most >= logits.shape[1]:
            raise IndexError(f"labels must be in 0..{logits.shape[1] - 1}, got {least if least < 0 else most}")


@differentiable(lambda g: g)
def minus_one_hot(p, target):
    """p, less 1 at each row's target."""
    out = p.copy()
    out.ravel()[target + row_starts(p)] -= 1
    return out


@differentiable(
    lambda g, residual: residual * (g / residual.shape[0]),
    residual=lambda logits, target: minus_one_hot(softmax(logits, -1), target),
)
def softmax_cross_entropy(logits, target):
    """Mean over rows of -log softmax(logits)[target] in one node: logits (rows, classes), target (rows,) of labels."""
    check_labels(logits, target)
    n, classes = logits.shape
    starts = row_starts(logits)
    hit = starts + target
    # argmax costs a third of max to call, and finds a NaN as max does; a product with ones costs a quarter of sum
    shifted = logits - logits.take(logits.argmax(axis=1) + starts).reshape(n, 1)
    p = np.exp(shifted)
    total = p.dot(backend.ones(classes, p))
    losses = np.log(total) - shifted.take(hit)
    p /= total.reshape(n, 1)
    p.ravel()[hit] -= 1
    return losses.dot(backend.ones(n, losses)) / n, p


def _check_shapes(input, target):
    if input.shape != target.shape:
        raise ValueError("expected input and target of the same shape")
    if not input.size:
        raise ValueError("an empty batch has no mean loss")


@differentiable(
    lambda g, residual: residual * (g * (2 / residual.size)),
    lambda g, residual: residual * (g * (-2 / residual.size)),
    residual=lambda input, target: input - target,
)
def mean_squared_error(input, target):
    """Mean over all elements of (input - target)² in one node."""
    _check_shapes(input, target)
    difference = input - target
    flat = difference.reshape(-1)
    return flat.dot(flat) / flat.size, difference


@differentiable(lambda g, input, target: g * (sigmoid(input) - target), lambda g, input: -g * input)
def logistic_loss(input, target):
    """-target · log σ(input) - (1 - target) · log σ(-input) for each element, without overflow."""
    _check_shapes(input, target)
    return np.maximum(input, 0) - input * target + np.log1p(np.exp(-np.abs(input)))
