"""Layers and losses as functions: `import nn.functional as F`.

Losses take `reduction`: "mean", "sum", or "none" for a loss of each example or element. All of them raise ValueError
for another reduction, for shapes that don't agree and for the mean of an empty batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import backend, ops
from minigrad import sparse as row_sparse
from minigrad.checks import FINITE, NONNEGATIVE, UNIT, integer, one_of, optional, whole, within
from minigrad.ops import elu, gelu, leaky_relu, linear, relu, sigmoid, silu, tanh
from minigrad.ops import layers as fused
from minigrad.ops.index import positions
from minigrad.tape import Variable, constant, differentiable, explaining, raw
from minigrad.tensor import as_array
from nn.parameter import named_array

__all__ = [
    "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy",
    "dropout", "elu", "embedding", "gelu", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "linear", "log_softmax", "mse_loss", "nll_loss", "relu", "sigmoid", "silu", "smooth_l1_loss",
    "softmax", "softplus", "tanh",
]  # fmt: skip


ABOVE_ZERO = within(0.0, open_low=True)
NOT_NEGATIVE = within(0.0)
REDUCTION = one_of("none", "mean", "sum")
REDUCTION_OR_BATCHMEAN = one_of("none", "mean", "sum", "batchmean")


def operand(name: str, argument: str, value: Any) -> Any:
    """A Tensor as it is, anything else as an array."""
    return value if isinstance(value, Variable) else named_array(f"{name}: {argument}", value)


def _operands(name: str, **values: Any) -> list[Any]:
    """Each a Tensor, an array, or None."""
    return [value if value is None else operand(name, argument, value) for argument, value in values.items()]


# --- activations


@explaining
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta · x)) / beta, and x itself where beta · x is above `threshold`."""
    input, beta = operand("softplus", "input", input), FINITE("softplus: beta", beta)
    scaled = input * beta
    return ops.where(scaled > within(-math.inf)("softplus: threshold", threshold), input, ops.softplus(scaled) / beta)


def _prepared(name: str, input: Any, dim: int | None, dtype: Any) -> tuple[Any, int]:
    """The input, converted, and its axis."""
    input = operand(name, "input", input)
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
    return input if dtype is None else ops.astype(input, dtype), dim


@explaining
def softmax(input: Any, dim: int | None = None, *, dtype: Any = None) -> Any:
    """exp(x) over its sum along an axis.

    dim: the axis. None means 0 for inputs of 0, 1 or 3 axes and 1 for others, so rather say which.
    dtype: to convert to first.
    """
    return ops.softmax(*_prepared("softmax", input, dim, dtype))


@explaining
def log_softmax(input: Any, dim: int | None = None, *, dtype: Any = None) -> Any:
    """Logarithm of softmax, without overflow; arguments as of `softmax`."""
    return ops.log_softmax(*_prepared("log_softmax", input, dim, dtype))


# --- layers


@explaining
def dropout(input: Any, p: float = 0.5, training: bool = True) -> Any:
    """In training, each element 0 with probability p and the others times 1 / (1 - p); else the input itself.

    Drawn from the stream that `minigrad.manual_seed` seeds; every device and type drops the same.

    p: in [0, 1]; 0.5 by default.

    Raises ValueError for another p, TypeError, in training, for an input that is not of a floating-point type.
    """
    p = UNIT("dropout: p", p)
    if not training or p == 0:
        return input
    return fused.dropout(operand("dropout", "input", input), p)


def checked_row(name: str, index: int | None, rows: int) -> int | None:
    """The index of a row, where there is one, counted from the first; a negative one counts from the end."""
    checked = optional(whole(-rows, rows - 1))(name, index)
    return None if checked is None else checked % rows


@explaining
def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """weight[input]: a row of `weight` for each index; the row `padding_idx` gets no gradient.

    max_norm: where given, rows that are looked up, and whose norm is larger, are first scaled down to this norm, in
        `weight` itself: a write that no gradient sees.
    norm_type: the p of that norm, (Σ|x|ᵖ)^(1/p).
    scale_grad_by_freq: divide each row's gradient by how often it was looked up.
    sparse: give `weight` a RowSparse gradient, which cannot be differentiated again.

    Raises TypeError for indices that are not integers; on the CPU, IndexError for one out of range.
    """
    indices, weight = named_array("embedding: input", input), operand("embedding", "weight", weight)
    array = raw(weight)
    if padding_idx is not None:
        padding_idx = checked_row("embedding: padding_idx", padding_idx, len(array))
    operation = row_sparse.embedding if sparse else fused.embedding
    if max_norm is not None:
        limit, order = ABOVE_ZERO("embedding: max_norm", max_norm), ABOVE_ZERO("embedding: norm_type", norm_type)
        looked_up = operation(array, indices)
        norms = np.linalg.norm(looked_up, order, axis=-1, keepdims=True)
        scale = np.where(norms > limit, limit / (norms + 1e-7), 1)  # 1e-7 as in torch
        array[indices] = (looked_up * scale).astype(array.dtype, copy=False)
        if isinstance(weight, Variable):
            weight.mark_written()
    rows = operation(weight, indices, padding_idx)
    if not scale_grad_by_freq:
        return rows
    counts = backend.zeros(len(array), array)
    backend.add_at(counts, indices, 1)
    return _scaled_backward(rows, np.expand_dims(1 / counts[indices], -1))


@differentiable(lambda g, factor: g * factor)
def _scaled_backward(x: Any, factor: Any) -> Any:
    """x itself, whose gradient is multiplied by `factor`."""
    return x


@explaining
def layer_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """(x - E[x]) / √(Var[x] + eps) · weight + bias, mean and variance over the last axes, of `normalized_shape`.

    normalized_shape: the lengths of those axes.
    weight, bias: of that shape; None for 1 and 0.
    eps: ≥ 0; 1e-5 by default.

    Raises ValueError for an input of other last axes, a weight or bias of another shape, and an eps that is negative or
    not finite.
    """
    shape = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    eps = NONNEGATIVE("layer_norm: eps", eps)
    input, weight, bias = _operands("layer_norm", input=input, weight=weight, bias=bias)
    if not shape or input.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm: expected an input whose last axes are {shape}, got shape {input.shape}")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.shape != shape:
            raise ValueError(f"layer_norm: {name} must have normalized_shape {shape}, got {value.shape}")
    return fused.normalize(input, weight, bias, tuple(range(-len(shape), 0)), eps)


@explaining
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

    Raises ValueError for other shapes, for fewer than two values in a channel in training, for a momentum outside
    [0, 1] and for an eps that is negative or not finite.
    """
    eps = NONNEGATIVE("batch_norm: eps", eps)
    input, weight, bias = _operands("batch_norm", input=input, weight=weight, bias=bias)
    running_mean, running_var = _operands("batch_norm", running_mean=running_mean, running_var=running_var)
    if input.ndim < 2:
        raise ValueError(f"batch_norm: expected shape (batch, channels, ...), got {input.shape}")
    of_channels = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, value in of_channels.items():
        if value is not None and value.shape != input.shape[1:2]:
            raise ValueError(f"batch_norm: {name} must have shape {input.shape[1:2]}, got {value.shape}")
    tail = (1,) * (input.ndim - 2)

    def along(value: Any) -> Any:
        return ops.reshape(value, (-1, *tail)) if tail and value is not None else value

    if training:
        axes = (0, *range(2, input.ndim))
        _update_statistics(as_array(input), axes, running_mean, running_var, momentum)
        return fused.normalize(input, along(weight), along(bias), axes, eps)
    if running_mean is None or running_var is None:
        raise ValueError("batch_norm: without training=True, expected running_mean and running_var, got None")
    factor = 1 / ops.sqrt(running_var + eps)
    out = (input - along(running_mean)) * along(factor if weight is None else factor * weight)
    return out if bias is None else out + along(bias)


def _update_statistics(x: Any, axes: tuple[int, ...], running_mean: Any, running_var: Any, momentum: float) -> None:
    momentum = UNIT("batch_norm: momentum", momentum)
    n = x.size // x.shape[1] if x.size else 0
    if n < 2:
        raise ValueError(f"batch_norm: expected more than one value for each channel in training, got shape {x.shape}")
    for running, batch in ((running_mean, x.mean), (running_var, lambda axis: x.var(axis=axis, ddof=1))):
        if running is not None:
            array = as_array(running)
            backend.copy_into(array, (1 - momentum) * array + momentum * batch(axis=axes))
            if isinstance(running, Variable):
                running.mark_written()


# --- losses


def _reduced(name: str, losses: Any, reduction: str) -> Any:
    """`losses` as they are ("none"), their "mean" or their "sum"."""
    REDUCTION(f"{name}: reduction", reduction)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return ops.sum(losses)
    if not losses.size:
        raise ValueError(f"{name}: an empty batch has no mean loss")
    return ops.mean(losses)


def _pair(name: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Input and target as tensors or arrays of the same shape."""
    input, target = operand(name, "input", input), operand(name, "target", target)
    if input.shape != target.shape:
        raise ValueError(f"{name}: input of shape {input.shape} and target of shape {target.shape} must agree")
    return input, target


def _weighted(name: str, losses: Any, weight: Any, reduction: str) -> Any:
    """`losses` times weights of their shape, if there are any, reduced; "mean" divides by the sum of the weights."""
    if weight is None:
        return _reduced(name, losses, reduction)
    weight = operand(name, "weight", weight)
    if weight.shape != losses.shape:
        raise ValueError(f"{name}: expected a weight of shape {losses.shape}, got {weight.shape}")
    if reduction != "mean":
        return _reduced(name, losses * weight, reduction)
    if not losses.size:
        raise ValueError(f"{name}: an empty batch has no mean loss")
    return ops.sum(losses * weight) / ops.sum(weight)


@explaining
def l1_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Any:
    """|input - target|; subgradient 0 at 0.

    weight: a factor for each element; "mean" then divides by their sum.
    """
    input, target = _pair("l1_loss", input, target)
    return _weighted("l1_loss", ops.absolute(input - target), weight, reduction)


@explaining
def mse_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Any:
    """(input - target)².

    weight: a factor for each element; "mean" then divides by their sum.
    """
    if reduction == "mean" and weight is None:
        return ops.mean_squared_error(operand("mse_loss", "input", input), operand("mse_loss", "target", target))
    input, target = _pair("mse_loss", input, target)
    return _weighted("mse_loss", ops.square(input - target), weight, reduction)


@explaining
def smooth_l1_loss(input: Any, target: Any, *, reduction: str = "mean", beta: float = 1.0) -> Any:
    """d² / (2 beta) for |d| < beta, |d| - beta / 2 elsewhere, d = input - target. With beta = 0, |d|.

    Raises ValueError for a negative beta.
    """
    beta = NOT_NEGATIVE("smooth_l1_loss: beta", beta)
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    input, target = _pair("smooth_l1_loss", input, target)
    return _reduced("smooth_l1_loss", _huber(input - target, beta) / beta, reduction)


@explaining
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """d² / 2 for |d| <= delta, delta · (|d| - delta / 2) elsewhere, d = input - target.

    weight: a factor for each element. As in PyTorch "mean" divides by their number here, not by their sum.

    P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964).

    Raises ValueError unless delta is positive.
    """
    delta = ABOVE_ZERO("huber_loss: delta", delta)
    input, target = _pair("huber_loss", input, target)
    losses = _weighted("huber_loss", _huber(input - target, delta), weight, "none")
    return _reduced("huber_loss", losses, reduction)


def _huber(difference: Any, delta: float) -> Any:
    inner = ops.clip(difference, -delta, delta)
    return inner * (difference - inner / 2)  # both branches in one formula that no infinity turns into NaN


@explaining
def binary_cross_entropy(input: Any, target: Any, weight: Any = None, *, reduction: str = "mean") -> Any:
    """-weight · (y log x + (1 - y) log(1 - x)) for probabilities x and targets y in [0, 1].

    Finite at probabilities 0 and 1: a logarithm counts as -100 at least, and the derivative by x is
    (x - y) / max(x (1 - x), 1e-12).

    weight: a factor for each element, broadcast.

    Raises ValueError (on the CPU) for inputs outside [0, 1].
    """
    name = "binary_cross_entropy"
    losses = fused.binary_cross_entropy(operand(name, "input", input), operand(name, "target", target))
    return _reduced(name, _scaled(name, losses, weight), reduction)


@explaining
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """-weight · (pos_weight · y log σ(x) + (1 - y) log σ(-x)) for logits x and targets y in [0, 1], without overflow.

    weight, pos_weight: factors, broadcast to the shape of the input.
    """
    name = "binary_cross_entropy_with_logits"
    input, target = _pair(name, input, target)
    if pos_weight is None:
        losses = ops.logistic_loss(input, target)
    else:
        losses = (1 - target) * input + (1 - target + _scaled(name, target, pos_weight)) * ops.softplus(-input)
    return _reduced(name, _scaled(name, losses, weight), reduction)


def _scaled(name: str, losses: Any, weight: Any) -> Any:
    """`losses` times a weight that is broadcast to them."""
    if weight is None:
        return losses
    weight = operand(name, "weight", weight)
    lengths = zip(reversed(weight.shape), reversed(losses.shape), strict=False)
    if weight.ndim > losses.ndim or any(n not in (1, of_losses) for n, of_losses in lengths):
        raise ValueError(f"{name}: weights of shape {weight.shape} don't fit losses of shape {losses.shape}")
    return losses * weight


@explaining
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-Σ q_c · weight_c · log softmax(input)_c over classes c, the second axis of the input (the only one of a vector).

    target: integer labels, of the input's shape without the axis of classes: q is 1 at the label and 0 elsewhere. Or
        probabilities q, of the input's shape.
    weight: a factor for each class. With labels, "mean" divides by the sum of the factors of the labels.
    ignore_index: a label that counts for nothing, in the mean too, which is NaN where all are ignored.
    label_smoothing: in [0, 1]; q becomes (1 - label_smoothing) · q + label_smoothing / classes.

    Raises ValueError for shapes and an empty batch, TypeError for labels that are no integers, IndexError (on the CPU)
    for labels out of range.
    """
    input = operand("cross_entropy", "input", input)
    labels = target.data if isinstance(target, Variable) else named_array("cross_entropy: target", target)
    if ignore_index.__class__ is not int:
        ignore_index = integer("cross_entropy: ignore_index", ignore_index)
    plain = weight is None and reduction == "mean" and ignore_index < 0 and not label_smoothing
    if plain and labels.__class__ is np.ndarray and labels.ndim == 1:  # on a device nothing would be raised
        try:
            return ops.softmax_cross_entropy(input, labels)
        except (IndexError, ValueError):
            pass  # a label to ignore, or another shape; what is wrong raises again below
    if weight is None and reduction == "mean" and not label_smoothing and fused.kernel_takes(input, labels):
        return fused.cross_entropy_kernel(input, labels, ignore_index)
    label_smoothing = UNIT("cross_entropy: label_smoothing", label_smoothing)
    log_probabilities = ops.log_softmax(input, min(1, input.ndim - 1))
    if labels.dtype.kind == "f" and input.shape == labels.shape:
        target = target if isinstance(target, Variable) else labels
        return _soft_label_loss(log_probabilities, target, weight, label_smoothing, reduction)
    return _label_loss("cross_entropy", log_probabilities, labels, weight, ignore_index, label_smoothing, reduction)


@explaining
def nll_loss(input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """-weight[target] · input[target] for log probabilities; arguments, shapes and errors as of `cross_entropy`."""
    name = "nll_loss"
    input, labels = operand(name, "input", input), named_array(f"{name}: target", target)
    return _label_loss(name, input, labels, weight, integer(f"{name}: ignore_index", ignore_index), 0.0, reduction)


def _class_weights(name: str, weight: Any, input: Any, axis: int) -> Any:
    """Factors of the classes, shaped to multiply the input."""
    array = named_array(f"{name}: weight", constant(name, "weight", weight))
    if array.shape != input.shape[axis : axis + 1]:
        raise ValueError(f"{name}: weight of shape {array.shape} for {input.shape[axis]} classes")
    return array.reshape(-1, *(1,) * (input.ndim - axis - 1))


def _label_loss(
    name: str, input: Any, labels: Any, weight: Any, ignore_index: int, label_smoothing: float, reduction: str
) -> Any:
    """The loss of log probabilities where the targets are labels."""
    axis = min(1, input.ndim - 1)
    _check_labels(name, input, labels, axis, ignore_index)
    kept = labels != ignore_index
    classes = positions(input.shape[axis], input).reshape(-1, *(1,) * (input.ndim - axis - 1))
    hit = np.expand_dims(np.where(kept, labels, 0), axis) == classes
    factors = None if weight is None else _class_weights(name, weight, input, axis)
    weights = kept.astype(input.dtype) if factors is None else kept * (hit * factors).sum(axis=axis)
    losses = ops.sum(ops.where(hit & np.expand_dims(kept, axis), -input, 0.0), axis=axis)
    if factors is not None:
        losses = losses * weights
    if label_smoothing:
        spread = -ops.sum(input if factors is None else input * factors, axis=axis)
        share = label_smoothing / input.shape[axis]
        losses = (1 - label_smoothing) * losses + share * ops.where(kept, spread, 0.0)
    if reduction != "mean":
        return _reduced(name, losses, reduction)
    if not losses.size:
        raise ValueError(f"{name}: an empty batch has no mean loss")
    total = weights.sum()
    return ops.where(total == 0, np.nan, ops.sum(losses) / np.where(total == 0, 1, total))


def _check_labels(name: str, input: Any, labels: Any, axis: int, ignore_index: int) -> None:
    if labels.shape == input.shape and labels.dtype.kind in "iu" and labels.ndim:
        raise ValueError(
            f"{name}: labels of shape {labels.shape}, that of the input; as probabilities, which cross_entropy takes,"
            " one-hot labels must be floats: target.astype(float)"
        )
    if axis < 0 or labels.shape != input.shape[:axis] + input.shape[axis + 1 :]:
        raise ValueError(
            f"{name}: labels of shape {labels.shape} for an input of shape {input.shape}: "
            "expected (rows, ...) and (rows, classes, ...), or () and (classes,)"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integer labels, or probabilities of the input's shape, got {labels.dtype}")
    if isinstance(labels, np.ndarray):  # on a device this check would wait for it
        wrong = labels[(labels != ignore_index) & ((labels < 0) | (labels >= input.shape[axis]))]
        if wrong.size:
            raise IndexError(f"{name}: labels must be in 0..{input.shape[axis] - 1}, got {wrong[0]}")


def _soft_label_loss(log_probabilities: Any, target: Any, weight: Any, label_smoothing: float, reduction: str) -> Any:
    """Cross entropy where the targets are probabilities."""
    axis = min(1, log_probabilities.ndim - 1)
    if label_smoothing:
        target = (1 - label_smoothing) * target + label_smoothing / target.shape[axis]
    terms = log_probabilities * target
    if weight is not None:
        terms = terms * _class_weights("cross_entropy", weight, terms, axis)
    return _reduced("cross_entropy", -ops.sum(terms, axis=axis), reduction)


@explaining
def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    """target · (log target - input), for log probabilities `input`: 0 where the target is 0.

    log_target: the targets are logarithms of probabilities too.
    reduction: also "batchmean", the sum over the length of the first axis, which is the divergence itself.

    Raises ValueError for another reduction, for shapes that differ and for the mean of an empty batch; TypeError for
    what is no array of numbers.
    """
    REDUCTION_OR_BATCHMEAN("kl_div: reduction", reduction)
    input, target = _pair("kl_div", input, target)
    if log_target:
        losses = ops.exp(target) * (target - input)
    else:
        losses = target * ops.log(ops.where(target > 0, target, 1.0)) - target * input
    if reduction != "batchmean":
        return _reduced("kl_div", losses, reduction)
    if not losses.size:
        raise ValueError("kl_div: an empty batch has no mean loss")
    return ops.sum(losses) / (len(losses) if losses.ndim else 1)


@explaining
def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, *, reduction: str = "mean"
) -> Any:
    """1 - cos(input1, input2) where the target is 1, max(0, cos(input1, input2) - margin) where it is -1.

    input1, input2: (rows, features) and target (rows,), or (features,) and (). The target gets no gradient.
    margin: a finite number; 0 by default.

    Raises ValueError for another reduction, a margin that is not finite, shapes that don't agree and the mean of an
    empty batch; TypeError for what is no array of numbers.
    """
    name = "cosine_embedding_loss"
    input1, input2 = _pair(name, input1, input2)
    sign, margin = named_array(f"{name}: target", target), FINITE(f"{name}: margin", margin)
    if input1.ndim not in (1, 2) or sign.shape != input1.shape[:-1]:
        raise ValueError(
            f"{name}: expected inputs (rows, features) and a target (rows,), or (features,) and (); "
            f"got {input1.shape} and {sign.shape}"
        )
    # 1e-12 keeps the cosine of a vector of zeros, and its derivative, finite
    squares = [ops.sum(x * x, axis=-1) + 1e-12 for x in (input1, input2)]
    cosine = ops.sum(input1 * input2, axis=-1) / ops.sqrt(squares[0] * squares[1])
    apart = ops.clip(cosine - margin, 0.0, None)
    return _reduced(name, ops.where(sign == 1, 1 - cosine, ops.where(sign == -1, apart, 0.0)), reduction)


@explaining
def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, *, reduction: str = "mean") -> Any:
    """The input x itself, a distance, where the target is 1, max(0, margin - x) where it is -1, both, added, elsewhere.

    input, target: of one shape. The target gets no gradient.
    margin: a finite number; 1 by default.

    Raises ValueError for another reduction, a margin that is not finite, shapes that differ and the mean of an empty
    batch; TypeError for what is no array of numbers.
    """
    name = "hinge_embedding_loss"
    input, target = _pair(name, input, named_array(f"{name}: target", target))
    margin = FINITE(f"{name}: margin", margin)
    apart = ops.where(target != 1, ops.clip(margin - input, 0.0, None), 0.0)
    return _reduced(name, apart + ops.where(target != -1, input, 0.0), reduction)
