"""Operations of neural networks: activations, softmax, and the losses that are one node each."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from minigrad import backend
from minigrad.ops import kernels, loops
from minigrad.ops.elementwise import erf, only_where, raw_erf, select
from minigrad.tape import Variable, differentiable

__all__ = [
    "elu", "gelu", "leaky_relu", "log_softmax", "logistic_loss", "mean_squared_error", "relu", "sigmoid", "silu",
    "softmax", "softmax_cross_entropy", "softplus",
]  # fmt: skip


def where_positive(g, ans):
    """The rule of relu: g where its answer is positive, else 0."""
    if g.__class__ is np.ndarray:
        run = loops.compiled(loops.where_positive, g, ans)
        if run is not None:
            out = np.empty_like(g)
            run(g.ravel(), ans.ravel(), out.ravel())
            return out
    elif not isinstance(g, Variable) and kernels.fitting(g, ans):
        return kernels.where_positive(g, ans)
    return only_where(ans > 0, g)  # where g · (ans > 0) would make NaN of ∞ · 0


@differentiable(where_positive)
def relu(x):
    """max(x, 0); subgradient 0 at 0."""
    run = loops.compiled(loops.relu, x)
    if run is None:
        return np.maximum(x, 0)
    out = np.empty_like(x)
    run(x.ravel(), out.ravel())
    return out


@differentiable(lambda g, x, negative_slope: select(x > 0, g, g * negative_slope))
def leaky_relu(x, negative_slope=0.01):
    """x where it is positive, x · negative_slope elsewhere; that side's derivative at 0."""
    return select(x > 0, x, x * negative_slope)


@differentiable(lambda g, x, alpha: select(x > 0, g, g * (alpha * np.exp(select(x < 0, x, 0.0)))))
def elu(x, alpha=1.0):
    """x where it is positive, alpha · (exp(x) - 1) elsewhere; that side's derivative at 0."""
    return select(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


SMALL = 256
"""Below so many elements, one slow call costs less than several."""


def _exp_of_minus_abs(x):
    if x.size < SMALL or x.__class__ is not np.ndarray or x.dtype.kind != "f":
        return np.exp(np.copysign(x, -1.0))
    e = np.absolute(x)
    np.negative(e, out=e)
    return np.exp(e, out=e)


def _sigmoid(x):
    e = _exp_of_minus_abs(x)
    run = loops.compiled(loops.sigmoid, x, e) if x.size >= loops.MANY else None
    if run is not None:
        run(x.ravel(), e.ravel())
        return e
    ans = np.maximum(e, x >= 0)
    e += 1
    ans /= e
    return ans


@differentiable(lambda g, ans: g * ans * (1 - ans))
def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow."""
    return _sigmoid(x)


def _scaled(fresh, scale):
    """fresh · scale, in the memory of `fresh`, which nobody else has seen."""
    fresh *= scale
    return fresh


@differentiable(lambda g, x: _scaled(sigmoid(x), g))
def softplus(x):
    """log(1 + exp(x)), without overflow."""
    if x.size < SMALL or x.__class__ is not np.ndarray or x.dtype.kind != "f":
        return np.logaddexp(x, 0)
    ans = _exp_of_minus_abs(x)
    np.log1p(ans, out=ans)
    ans += np.clip(x, 0.0, math.inf)  # max(x, 0) in less time than np.maximum takes with a number
    return ans


def _silu_slope(x):
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


@differentiable(lambda g, x: g * _silu_slope(x))
def silu(x):
    """x · sigmoid(x)."""
    return _scaled(_sigmoid(x), x)


_ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


def _gelu_slope(x, approximate):
    if approximate == "none":
        return 0.5 * (1 + erf(x * math.sqrt(0.5))) + x * (np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))
    t = np.tanh(_ROOT_2_OVER_PI * (x + _CUBIC * x * x * x))
    return 0.5 * (1 + t) + 0.5 * _ROOT_2_OVER_PI * x * (1 - t * t) * (1 + 3 * _CUBIC * x * x)


@differentiable(lambda g, x, approximate: g * _gelu_slope(x, approximate))
def gelu(x, approximate="none"):
    """x · Φ(x), Φ the normal distribution: (1 + erf(x / √2)) / 2, or, with approximate="tanh",
    (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError('approximate must be "none" or "tanh"')
    if approximate == "none":
        return 0.5 * x * (1 + raw_erf(x * math.sqrt(0.5)))
    return 0.5 * x * (1 + np.tanh(_ROOT_2_OVER_PI * (x + _CUBIC * x * x * x)))


def _reused(x):
    """A temporary array as the place of its function's answer, where that has its type; else None."""
    return x if x.__class__ is np.ndarray and x.dtype.kind == "f" else None


def _softmax(x, axis):
    shifted = x - x.max(axis=axis, keepdims=True)
    e = np.exp(shifted, out=_reused(shifted))
    e /= e.sum(axis=axis, keepdims=True)
    return e


@differentiable(lambda g, ans, axis: (g - (g * ans).sum(axis=axis, keepdims=True)) * ans)
def softmax(x, axis=-1):
    """exp(x) over its sum along `axis`."""
    return _softmax(x, axis)


def _log_softmax(x, axis):
    shifted = x - x.max(axis=axis, keepdims=True)
    return np.subtract(shifted, np.log(np.exp(shifted).sum(axis=axis, keepdims=True)), out=_reused(shifted))


@differentiable(lambda g, ans, axis: g - np.exp(ans) * g.sum(axis=axis, keepdims=True))
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


def check_labels(logits, target) -> None:
    """Raise where `target` is not one label in range for each row of `logits`."""
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        raise ValueError("expected logits of shape (rows, classes) and one label for each row")
    if target.dtype.kind not in "iu":
        raise TypeError("expected integer labels; labels.astype(int) has them")
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
    small = logits.size <= loops.FEW and logits.ndim == 2 and target.dtype == np.int64
    run = loops.compiled(loops.cross_entropy, logits) if small else None
    if run is not None and target.shape == logits.shape[:1] and target.size and target.flags.carray:
        difference = np.empty_like(logits)
        loss = run(logits, target, difference)
        if loss != -1.0:
            return logits.dtype.type(loss), difference
    check_labels(logits, target)
    n, classes = logits.shape
    starts = row_starts(logits)
    hit = starts + target
    # argmax costs a third of max to call, and finds a NaN as max does; a product with ones costs a quarter of sum
    shifted = logits - logits.take(logits.argmax(axis=1) + starts).reshape(n, 1)
    p = np.exp(shifted if backend.in_order(shifted) else shifted.copy())  # so that ravel is a view
    total = p.dot(backend.ones(classes, p))
    losses = np.log(total) - shifted.take(hit)
    p /= total.reshape(n, 1)
    p.ravel()[hit] -= 1
    return losses.dot(backend.ones(n, losses)) / n, p


def _check_shapes(input, target):
    if input.shape != target.shape:
        hint = "; target[:, None] has it" if (*target.shape, 1) == input.shape else ""
        raise ValueError(f"expected input and target of the same shape{hint}")


@differentiable(
    lambda g, residual: residual * (g * (2 / residual.size)),
    lambda g, residual: residual * (g * (-2 / residual.size)),
    residual=lambda input, target: input - target,
)
def mean_squared_error(input, target):
    """Mean over all elements of (input - target)² in one node."""
    _check_shapes(input, target)
    if not input.size:
        raise ValueError("an empty batch has no mean loss")
    difference = input - target
    flat = difference.reshape(-1)
    if flat.dtype == np.float16:  # whose squares may be beyond it
        return np.square(flat, dtype=np.float32).mean().astype(flat.dtype), difference
    return flat.dot(flat) / flat.size, difference


@differentiable(lambda g, input, target: g * (sigmoid(input) - target), lambda g, input: -g * input)
def logistic_loss(input, target):
    """-target · log σ(input) - (1 - target) · log σ(-input) for each element, without overflow."""
    _check_shapes(input, target)
    return np.maximum(input, 0) - input * target + np.log1p(_exp_of_minus_abs(input))
