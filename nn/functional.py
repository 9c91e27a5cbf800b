"""Layers and losses as functions: `import nn.functional as F`."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.ops import linear, log_softmax, relu, sigmoid, softmax, softplus, tanh
from minigrad.tape import Variable
from minigrad.tensor import as_array

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "linear",
    "log_softmax",
    "mse_loss",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "tanh",
]


def reduced(losses: Any, reduction: str, name: str) -> Any:
    """`losses` as they are ("none"), their "mean" or their "sum"."""
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ValueError(f'{name}: reduction must be "none", "mean" or "sum", got {reduction!r}')
    return ops.mean(losses) if reduction == "mean" else ops.sum(losses)


def cross_entropy(input: Any, target: Any, reduction: str = "mean") -> Any:
    """-log softmax(input)[target]: logits (rows, classes), target (rows,) of integer labels 0..classes-1.

    reduction: "mean" over rows, "sum", or "none" for one loss a row.

    Raises ValueError for shapes and an empty batch, TypeError for labels that are no integers, IndexError for labels
    out of range.
    """
    target = target if isinstance(target, Variable) else as_array(target)
    if reduction == "mean":
        return ops.softmax_cross_entropy(input, target)
    ops.check_labels(as_array(input), as_array(target))
    rows = ops.log_softmax(input, -1)
    return reduced(-rows[range(len(target)), target], reduction, "cross_entropy")


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """(input - target)², of the same shape.

    reduction: "mean" over all elements, "sum", or "none".

    Raises ValueError where the shapes differ.
    """
    target = target if isinstance(target, Variable) else as_array(target)
    if reduction == "mean":
        return ops.mean_squared_error(input, target)
    if input.shape != target.shape:
        raise ValueError(f"mse_loss: input of shape {input.shape} and target of shape {target.shape} must agree")
    return reduced(ops.square(input - target), reduction, "mse_loss")


def binary_cross_entropy_with_logits(input: Any, target: Any, reduction: str = "mean") -> Any:
    """-y log σ(x) - (1 - y) log σ(-x) for logits x and targets y in [0, 1], without overflow.

    reduction: "mean" over all elements, "sum", or "none".

    Raises ValueError where the shapes differ.
    """
    target = target if isinstance(target, Variable) else as_array(target)
    return reduced(ops.logistic_loss(input, target), reduction, "binary_cross_entropy_with_logits")
