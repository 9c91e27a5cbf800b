"""Losses as modules: `loss = criterion(prediction, target)`."""

from __future__ import annotations

from typing import Any

from nn import functional as F
from nn.module import Module


class Loss(Module):
    """A loss of a prediction and a target.

    reduction: "mean", "sum" or "none". Raises ValueError for any other.
    """

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(f'{type(self).__name__}: reduction must be "none", "mean" or "sum", got {reduction!r}')
        self.reduction = reduction

    def extra_repr(self) -> str:
        """The reduction."""
        return f"reduction={self.reduction!r}"


class CrossEntropyLoss(Loss):
    """-log softmax(input)[target] for logits (rows, classes) and integer labels (rows,)."""

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.cross_entropy(input, target, self.reduction)


class MSELoss(Loss):
    """(input - target)²."""

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.mse_loss(input, target, self.reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross entropy of logits and targets in [0, 1], without overflow."""

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.binary_cross_entropy_with_logits(input, target, self.reduction)
