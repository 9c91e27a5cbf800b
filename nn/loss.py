"""Losses as modules: `loss = criterion(prediction, target)`. What they share stands in `Loss`."""

from __future__ import annotations

from typing import Any

from minigrad.checks import FINITE, UNIT, flag, integer
from nn import functional as F
from nn.module import Module
from nn.parameter import Buffer, named_array


class Loss(Module):
    """A loss ℓ for each element or example of a prediction and a target, and their reduction to one number.

    reduction: "mean", Σℓ over their number; "sum", Σℓ; "none", each ℓ. Default "mean". Weights of elements don't change
        that number; with labels it is the sum of the weights of their classes.

    Arguments of a call are Tensors, arrays or nested lists of numbers; nothing but weights is broadcast. The answer is
    a Tensor where one of them is, else an array. Its gradient flows to the target too, unless that is labels or signs.

    A `weight` is kept as a Buffer: it is saved, moves with the module, and gets no gradient.

    Raises ValueError for another reduction, and in a call for shapes that differ and the mean of an empty batch;
    TypeError for arguments of a wrong type.
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
            f"{k}={v!r}"
            for k, v in vars(self).items()
            if k[0] != "_" and k != "training" and isinstance(v, str | int | float)
        )

    def _buffer(self, name: str, weight: Any) -> Buffer | None:
        return None if weight is None else Buffer(named_array(f"{type(self).__name__}: {name}", weight))


class L1Loss(Loss):
    """|x - y| for each element; its subgradient at x = y is 0.

    input, target: x and y, of one shape. Answer: of shape () or, for "none", of that shape.
    reduction: "mean" over the elements, "sum" or "none", as in `Loss`. Default "mean".

    Raises ValueError for another reduction, and in a call for shapes that differ and the mean of an empty batch;
    TypeError for arguments of a wrong type.

    >>> import minigrad as mg, nn
    >>> x, y = mg.tensor([0.5, 4.0]), mg.tensor([1.0, 2.0])
    >>> nn.L1Loss()(x, y), nn.L1Loss(reduction="none")(x, y)
    (tensor(1.25), tensor([0.5, 2. ]))
    """

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, of shape () unless the reduction is "none"."""
        return F.l1_loss(input, target, reduction=self.reduction)


class MSELoss(Loss):
    """(x - y)² for each element.

    input, target: x and y, of one shape. Answer: of shape () or, for "none", of that shape.
    reduction: "mean" over the elements, "sum" or "none", as in `Loss`. Default "mean".

    Raises ValueError for another reduction, and in a call for shapes that differ and the mean of an empty batch;
    TypeError for arguments of a wrong type.

    >>> import minigrad as mg, nn
    >>> x, y = mg.tensor([0.5, 4.0]), mg.tensor([1.0, 2.0])
    >>> nn.MSELoss()(x, y), nn.MSELoss(reduction="none")(x, y)
    (tensor(2.125), tensor([0.25, 4.  ]))
    """

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, of shape () unless the reduction is "none"."""
        return F.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """d² / (2β) where |d| < β, |d| - β/2 elsewhere, for each difference d = x - y: HuberLoss over β.

    input, target: x and y, of one shape. Answer: of shape () or, for "none", of that shape.
    reduction: "mean" over the elements, "sum" or "none", as in `Loss`. Default "mean".
    beta: β ≥ 0 or inf. Default 1.0. With 0 this is L1Loss; else the derivative is d/β, clipped to ±1.

    Raises ValueError for another reduction and a beta out of range, and in a call for shapes that differ and the mean
    of an empty batch; TypeError for arguments of a wrong type.

    Source: R. Girshick, "Fast R-CNN" (2015), equation 3, where β = 1.

    >>> import minigrad as mg, nn
    >>> x, y = mg.tensor([0.5, 4.0]), mg.tensor([1.0, 2.0])
    >>> nn.SmoothL1Loss()(x, y), nn.SmoothL1Loss(reduction="none")(x, y)
    (tensor(0.8125), tensor([0.125, 1.5  ]))
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, of shape () unless the reduction is "none"."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(Loss):
    """d²/2 where |d| ≤ δ, δ · (|d| - δ/2) elsewhere, for each difference d = x - y; the derivative is d, clipped to ±δ.

    input, target: x and y, of one shape. Answer: of shape () or, for "none", of that shape.
    reduction: "mean" over the elements, "sum" or "none", as in `Loss`. Default "mean".
    delta: δ > 0 or inf, for d²/2 everywhere. Default 1.0.

    Raises ValueError for another reduction and a delta out of range, and in a call for shapes that differ and the mean
    of an empty batch; TypeError for arguments of a wrong type.

    Source: P. J. Huber, "Robust Estimation of a Location Parameter" (1964).

    >>> import minigrad as mg, nn
    >>> x, y = mg.tensor([0.5, 4.0]), mg.tensor([1.0, 2.0])
    >>> nn.HuberLoss()(x, y), nn.HuberLoss(reduction="none", delta=0.5)(x, y)
    (tensor(0.8125), tensor([0.125, 0.875]))
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, of shape () unless the reduction is "none"."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(Loss):
    """Binary cross entropy: -w · (y log x + (1 - y) log(1 - x)) for each probability x.

    Finite at 0 and 1: a logarithm counts as -100 at least, and the derivative is w · (x - y) / max(x · (1 - x), 1e-12).

    input, target: x and y, of one shape. Answer: of shape () or, for "none", of that shape.
        Both in [0, 1]; y is not checked.
    weight: w, broadcast to the input's shape. Default None, for 1.
    reduction: "mean" over the elements, whatever their weights, "sum" or "none", as in `Loss`. Default "mean".

    Raises ValueError for another reduction, and in a call for shapes that differ, a weight that doesn't fit, the mean
    of an empty batch and (on the CPU) x outside [0, 1] or NaN; TypeError for arguments of a wrong type.

    >>> import minigrad as mg, nn
    >>> x, y = mg.tensor([0.5, 0.0], dtype="float64"), [1.0, 1.0]
    >>> nn.BCELoss(reduction="none")(x, y).tolist()
    [0.6931471805599453, 100.0]
    >>> nn.BCELoss(weight=[2.0, 0.0])(x, y).item()  # 2 · 0.693 / 2
    0.6931471805599453
    """

    weight: Buffer | None

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.weight = self._buffer("weight", weight)

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, of shape () unless the reduction is "none"."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross entropy of logits: -w · (p · y log σ(x) + (1 - y) log σ(-x)) for each x, without overflow.

    input, target: x and y, of one shape. Answer: of shape () or, for "none", of that shape.
        y in [0, 1], not checked.
    weight: w, broadcast to the input's shape. Default None, for 1.
    reduction: "mean" over the elements, whatever their weights, "sum" or "none", as in `Loss`. Default "mean".
    pos_weight: p, broadcast likewise; above 1 for more recall, below for more precision. Default None, for 1.

    Raises ValueError for another reduction, and in a call for shapes that differ, a weight that doesn't fit and the
    mean of an empty batch; TypeError for arguments of a wrong type.

    >>> import minigrad as mg, nn
    >>> x, y = mg.tensor([0.0, 1000.0], dtype="float64"), [1.0, 0.0]
    >>> for p in (None, 3.0):
    ...     nn.BCEWithLogitsLoss(pos_weight=p, reduction="none")(x, y).numpy().round(6).tolist()
    [0.693147, 1000.0]
    [2.079442, 1000.0]
    """

    weight: Buffer | None
    pos_weight: Buffer | None

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction=reduction)
        self.weight, self.pos_weight = self._buffer("weight", weight), self._buffer("pos_weight", pos_weight)

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, of shape () unless the reduction is "none"."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class CrossEntropyLoss(Loss):
    """-Σ q_c · w_c · log softmax(x)_c over the classes c: with labels, -w[label] · log softmax(x)[label].

    input: logits x, (rows, classes, ...) or (classes,).
    target: integer labels, (rows, ...) or (), for which q is 1 at the label and 0 elsewhere; or probabilities q, floats
        of the input's shape, not checked. Answer: of shape () or, for "none", (rows, ...).
    weight: w, (classes,). Default None, for 1.
    ignore_index: a label, any integer, that counts for nothing. Default -100.
    reduction: "mean", "sum" or "none", as in `Loss`. Default "mean": with labels Σ w[label] of those that
        count divides the sum, NaN where it is 0; with probabilities their number, whatever the weights.
    label_smoothing: ε in [0, 1]; q becomes (1 - ε) · q + ε / classes. Default 0.0.

    Raises ValueError for another reduction and settings out of range, and in a call for shapes, a weight's too, that
    don't agree and the mean of an empty batch; TypeError for labels that are no integers and arguments of a wrong type;
    on the CPU, IndexError for a label outside 0..classes - 1.

    Source of label_smoothing: C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016),
    section 7.

    >>> import minigrad as mg, nn
    >>> x, labels = mg.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]], dtype="float64"), [2, 0]
    >>> nn.CrossEntropyLoss(reduction="none")(x, labels), nn.CrossEntropyLoss()(x, labels)
    (tensor([1.09861229, 0.23954477], dtype=float64), tensor(0.66907853, dtype=float64))
    >>> nn.CrossEntropyLoss(weight=[3.0, 1.0, 1.0])(x, labels)  # (1 · 1.0986 + 3 · 0.2395) / (1 + 3)
    tensor(0.45431165, dtype=float64)
    >>> nn.CrossEntropyLoss(ignore_index=0)(x, labels)  # of the first row alone
    tensor(1.09861229, dtype=float64)
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
        """The loss, of shape () unless the reduction is "none"."""
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
    """Negative log likelihood: -w[label] · x[label] for each label, of log probabilities x.

    input: x, (rows, classes, ...) or (classes,).
    target: integer labels, (rows, ...) or (). Answer: of shape () or, for "none", of their shape.
    weight: w, (classes,). Default None, for 1.
    ignore_index: a label, any integer, that counts for nothing. Default -100.
    reduction: "mean", "sum" or "none", as in `Loss`. Default "mean": Σ w[label] of the labels that count divides
        the sum, NaN where it is 0.

    Raises ValueError for another reduction and settings out of range, and in a call for shapes, a weight's too, that
    don't agree and the mean of an empty batch; TypeError for labels that are no integers and arguments of a wrong type;
    on the CPU, IndexError for a label outside 0..classes - 1.

    >>> import minigrad as mg, nn
    >>> x, labels = mg.tensor([[-1.0, -0.5], [-0.25, -2.0]]), [0, 1]
    >>> nn.NLLLoss()(x, labels), nn.NLLLoss(weight=[3.0, 1.0])(x, labels)  # (3 · 1 + 2) / (3 + 1)
    (tensor(1.5), tensor(1.25))
    """

    weight: Buffer | None

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.weight, self.ignore_index = self._buffer("weight", weight), ignore_index

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, of shape () unless the reduction is "none"."""
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class KLDivLoss(Loss):
    """Kullback-Leibler divergence: y · (log y - x) for each log probability x, 0 where the target y is 0.

    The derivative by such a y, which is infinite, counts as -x. That y is no less than 0 is not checked.

    input, target: x and y, of one shape. Answer: of shape () or, for "none", of that shape.
    reduction: "mean" over the elements, "sum", "none", as in `Loss`, or "batchmean", the sum over the length of the
        first axis: the divergence itself, a mean over rows of distributions. Default "mean".
    log_target: y is a log probability too, and the loss eʸ · (y - x). Default False.

    Raises ValueError for another reduction, and in a call for shapes that differ and the mean of an empty batch;
    TypeError for arguments of a wrong type.

    >>> import minigrad as mg, nn
    >>> x, y = mg.tensor([[0.5, 0.5]], dtype="float64").log(), [[1.0, 0.0]]
    >>> nn.KLDivLoss(reduction="batchmean")(x, y), nn.KLDivLoss()(x, y)
    (tensor(0.69314718, dtype=float64), tensor(0.34657359, dtype=float64))
    """

    _ranges = Loss._ranges | {"reduction": F.REDUCTION_OR_BATCHMEAN}

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, of shape () unless the reduction is "none"."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class CosineEmbeddingLoss(Loss):
    """1 - cos(x1, x2) where the target is 1, max(0, cos(x1, x2) - margin) where it is -1, 0 elsewhere, for each row.

    cos(x1, x2) = x1 · x2 / √((|x1|² + 1e-12) · (|x2|² + 1e-12)): 0 for a row of zeros. At cos = margin the derivative
    is that of cos.

    input1, input2: x1 and x2, both (rows, features) or (features,).
    target: (rows,) or (). Answer: of shape () or, for "none", of its shape.
    margin: any finite number; the cosine is in [-1, 1]. Default 0.0.
    reduction: "mean" over the rows, "sum" or "none", as in `Loss`. Default "mean".

    Raises ValueError for another reduction and a margin that is not finite, and in a call for shapes that don't agree
    and the mean of an empty batch; TypeError for arguments of a wrong type.

    >>> import minigrad as mg, nn
    >>> x1, x2 = mg.tensor([[3.0, 4.0], [3.0, 4.0]], dtype="float64"), [[1.0, 0.0], [0.0, 1.0]]
    >>> nn.CosineEmbeddingLoss(margin=0.5, reduction="none")(x1, x2, [1, -1])  # cosines 0.6 and 0.8
    tensor([0.4, 0.3], dtype=float64)
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        """The loss, of shape () unless the reduction is "none"."""
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class HingeEmbeddingLoss(Loss):
    """For each distance x: x where the target is 1, max(0, margin - x) where it is -1, and both, added, elsewhere.

    At x = margin the derivative of max(0, margin - x) is -1.

    input, target: x, and 1 or -1, of one shape. Answer: of shape () or, for "none", of that shape.
    margin: any finite number. Default 1.0.
    reduction: "mean" over the elements, "sum" or "none", as in `Loss`. Default "mean".

    Raises ValueError for another reduction and a margin that is not finite, and in a call for shapes that differ and
    the mean of an empty batch; TypeError for arguments of a wrong type.

    >>> import minigrad as mg, nn
    >>> nn.HingeEmbeddingLoss(reduction="none")(mg.tensor([0.25, 0.25, 3.0]), [1, -1, -1])
    tensor([0.25, 0.75, 0.  ])
    """

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, of shape () unless the reduction is "none"."""
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)
