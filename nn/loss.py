"""Losses as modules: `loss = criterion(prediction, target)`. Formulas, shapes and errors stand in `nn.functional`."""

from __future__ import annotations

from typing import Any

from minigrad.checks import FINITE, UNIT, flag, integer
from nn import functional as F
from nn.module import Module
from nn.parameter import Buffer, named_array


class Loss(Module):
    """A loss of a prediction and a target.

    reduction: "mean", "sum" or "none". Raises ValueError for any other.
    """

    _ranges = {
        "reduction": F.REDUCTION,
        "beta": F.NOT_NEGATIVE,
        "delta": F.ABOVE_ZERO,
        "margin": FINITE,
        "label_smoothing": UNIT,
        "ignore_index": integer,
        "log_target": flag,
    }

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = reduction

    def extra_repr(self) -> str:
        """The settings."""
        return ", ".join(
            f"{k}={v!r}" for k, v in vars(self).items() if k[0] != "_" and isinstance(v, str | int | float)
        )

    def _buffer(self, name: str, weight: Any) -> Buffer | None:
        return None if weight is None else Buffer(named_array(f"{type(self).__name__}: {name}", weight))


class L1Loss(Loss):
    """|input - target|; subgradient 0 at 0."""

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.l1_loss(input, target, reduction=self.reduction)


class MSELoss(Loss):
    """(input - target)²."""

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """d² / (2 beta) for |d| < beta, |d| - beta / 2 elsewhere, d = input - target. Raises ValueError for beta < 0."""

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(Loss):
    """d² / 2 for |d| <= delta, delta · (|d| - delta / 2) elsewhere, d = input - target. ValueError for delta <= 0."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(Loss):
    """Binary cross entropy of probabilities and targets in [0, 1], finite at 0 and 1.

    weight: a factor for each element, broadcast.
    """

    weight: Buffer | None

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.weight = self._buffer("weight", weight)

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross entropy of logits and targets in [0, 1], without overflow.

    weight: a factor for each element; pos_weight: one for the term of the target. Both are broadcast.
    """

    weight: Buffer | None
    pos_weight: Buffer | None

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction=reduction)
        self.weight, self.pos_weight = self._buffer("weight", weight), self._buffer("pos_weight", pos_weight)

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class CrossEntropyLoss(Loss):
    """-log softmax(input)[target] for logits (rows, classes, ...), and labels (rows, ...) or probabilities.

    weight: a factor for each class.
    ignore_index: a label that counts for nothing.
    label_smoothing: the share of the target that is spread over all classes, in [0, 1].
    """

    weight: Buffer | None
    _plain: bool

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(reduction=reduction)
        self.weight = self._buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        settings = [vars(self).get(key) for key in ("weight", "ignore_index", "reduction", "label_smoothing")]
        object.__setattr__(self, "_plain", settings == [None, -100, "mean", 0.0] if settings[0] is None else False)

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        if self._plain:  # to pass on what the defaults are takes as long as a small addition
            return F.cross_entropy(input, target)
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(Loss):
    """-input[target] for log probabilities (rows, classes, ...) and labels (rows, ...).

    weight: a factor for each class. ignore_index: a label that counts for nothing.
    """

    weight: Buffer | None

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.weight, self.ignore_index = self._buffer("weight", weight), ignore_index

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class KLDivLoss(Loss):
    """target · (log target - input) for log probabilities `input`.

    reduction: also "batchmean", the sum over the length of the first axis.
    log_target: the targets are logarithms too.
    """

    _ranges = Loss._ranges | {"reduction": F.REDUCTION_OR_BATCHMEAN}

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class CosineEmbeddingLoss(Loss):
    """1 - cos(input1, input2) where the target is 1, max(0, cos(input1, input2) - margin) where it is -1."""

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        """The loss."""
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class HingeEmbeddingLoss(Loss):
    """The input itself, a distance, where the target is 1, and max(0, margin - input) where it is -1."""

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input: Any, target: Any) -> Any:
        """The loss."""
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)
